import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NAMESPACE, signatureInvalid } from './signed-text.ts'

export interface SshSignature {
  readonly text: string
  readonly signature: string
  /** The content of an allowed signers file (ssh-keygen(1), ALLOWED SIGNERS). */
  readonly allowedSigners: string
}

/** Who signed the text, as the allowed signers file names him. Throws SIGNATURE_INVALID. */
export function signerOf({ text, signature, allowedSigners }: SshSignature): string {
  const dir = mkdtempSync(join(tmpdir(), 'dorc-signature-'))
  try {
    const [signaturePath, allowedPath] = [join(dir, 'sig'), join(dir, 'allowed')]
    // Root's, for everybody to read: ssh-keygen runs as nobody, who must not be able to change them.
    chmodSync(dir, 0o755)
    writeFileSync(signaturePath, signature, { mode: 0o644 })
    writeFileSync(allowedPath, allowedSigners, { mode: 0o644 })
    const files = ['-n', NAMESPACE, '-f', allowedPath, '-s', signaturePath]
    const [signer = ''] = sshKeygen(['-Y', 'find-principals', ...files], '').split('\n')
    if (signer === '') throw signatureInvalid('no allowed signer made the signature')
    sshKeygen(['-Y', 'verify', '-I', signer, ...files], text)
    return signer
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

const NOBODY = 65534
const TIMEOUT_MS = 10_000

/** What it printed. An uploader chose its input, so it gets no rights. */
function sshKeygen(args: readonly string[], input: string): string {
  const unprivileged = process.geteuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  const { status, stdout, stderr, error } = spawnSync('ssh-keygen', args, {
    input,
    cwd: '/',
    encoding: 'utf8',
    env: { PATH: '/usr/bin:/bin' },
    timeout: TIMEOUT_MS,
    ...unprivileged,
  })
  if (status === 0) return stdout
  if (error !== undefined)
    throw signatureInvalid('ssh-keygen does not run (apt install openssh-client)', error)
  throw signatureInvalid(
    'the signature is not of an allowed signer, or not for this content',
    new Error(stderr.trim()),
  )
}
