import { DorcError } from '../core/errors.ts'
import { formatManifest, type Manifest } from './manifest.ts'

/** What is signed, and its signature, at the root of an upload. Neither is part of what is signed. */
export const SIGNED_FILE = '.dorc-manifest'
export const SIGNATURE_FILE = '.dorc-manifest.sig'
/** Of ssh-keygen -Y: a signature for anything else is none for a release. */
export const NAMESPACE = 'dorc-release'

export interface Signed {
  /** A signature for one app is none for another. */
  readonly app: string
  /** Rises with every release: an older one cannot be sent again. */
  readonly serial: number
}

/** The text that CI signs: the app, the serial, and the manifest of everything but the two files of the signature. */
export function formatSigned({ app, serial }: Signed, manifest: Manifest): string {
  const signed = manifest.filter(({ path }) => path !== SIGNED_FILE && path !== SIGNATURE_FILE)
  return `dorc release 1\napp ${app}\nserial ${serial}\n\n${formatManifest(signed)}`
}

/** The serial of a signed text, nothing else of it; SIGNATURE_INVALID if it has none. */
export function serialOf(text: string): number {
  const serial = Number(/^dorc release 1\napp [^\n]*\nserial ([1-9][0-9]{0,14})\n/.exec(text)?.[1])
  if (Number.isSafeInteger(serial)) return serial
  throw signatureInvalid(`"${SIGNED_FILE}" is not a text that dorc manifest made`)
}

export function signatureInvalid(reason: string, cause?: unknown): DorcError {
  return new DorcError('SIGNATURE_INVALID', `The upload is not signed as it must be: ${reason}`, {
    cause,
    hint: 'Sign it: dorc manifest APP DIR > DIR/.dorc-manifest; ssh-keygen -Y sign -n dorc-release -f KEY DIR/.dorc-manifest',
  })
}
