import { readFileSync } from 'node:fs'
import { DorcError, hasCode } from '../core/errors.ts'
import { readFileIn } from './atomic-file.ts'
import type { Manifest } from './manifest.ts'
import { signerOf } from './ssh-signature.ts'
import { formatSigned, serialOf, SIGNATURE_FILE, signatureInvalid, SIGNED_FILE } from './signed-text.ts'
import type { Signature } from './store-layout.ts'

export interface SignatureRule {
  /** `warn` tells of what `require` refuses. */
  readonly policy: 'warn' | 'require'
  readonly app: string
  readonly allowedSignersPath: string
}

export type SignatureVerdict =
  | { readonly ok: true; readonly signed: Signature }
  | { readonly ok: false; readonly reason: string }

/** What the store has. */
export interface Known {
  /** This very content. */
  readonly isSame: boolean
  /** The highest serial so far; 0: none. */
  readonly serial: number
}

/** A tree that was just copied, before it is a release. */
export interface SignedTree {
  readonly treeFd: number
  readonly manifest: Manifest
}

/** Judges the signature in a tree. Throws SIGNATURE_INVALID if one is required. */
export function checkSignature(tree: SignedTree, rule: SignatureRule, known: Known): SignatureVerdict {
  try {
    return { ok: true, signed: verifiedSignature(tree, rule, known) }
  } catch (error) {
    if (!(error instanceof DorcError) || error.code !== 'SIGNATURE_INVALID' || rule.policy === 'require')
      throw error
    return { ok: false, reason: error.message }
  }
}

function verifiedSignature({ treeFd, manifest }: SignedTree, rule: SignatureRule, known: Known): Signature {
  const text = readSmall(treeFd, manifest, SIGNED_FILE)
  const signature = readSmall(treeFd, manifest, SIGNATURE_FILE)
  const serial = serialOf(text)
  if (text !== formatSigned({ app: rule.app, serial }, manifest))
    throw signatureInvalid(`"${SIGNED_FILE}" is of another app, or of other files`)
  const signer = signerOf({ text, signature, allowedSigners: readAllowedSigners(rule.allowedSignersPath) })
  const isNewer = known.isSame ? serial >= known.serial : serial > known.serial
  if (!isNewer)
    throw signatureInvalid(`its serial ${serial} is not above ${known.serial}, which was taken in already`)
  return { signer, serial }
}

/** A text of 100,000 entries of the longest kind; what is larger was not made by us. */
const MAX_BYTES = 512 * 1024 * 1024

function readSmall(treeFd: number, manifest: Manifest, name: string): string {
  const entry = manifest.find(({ path }) => path === name)
  if (entry?.kind !== 'file') throw signatureInvalid(`there is no file "${name}" in it`)
  if (entry.size > MAX_BYTES) throw signatureInvalid(`"${name}" is too large`)
  return readFileIn(treeFd, name) ?? ''
}

function readAllowedSigners(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    throw signatureInvalid(`there is no "${path}" with the keys that may sign`, error)
  }
}
