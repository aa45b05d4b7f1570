import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { DorcError, type ErrorCode } from '../../core/errors.ts'
import { programArgv } from '../../platform/programs.ts'

export interface ManifestFlags {
  readonly serial: number | undefined
}

/** A manifest of 100,000 files with long names. */
const MAX_BYTES = 512 * 1024 * 1024

/** The copier makes it, with the very code that later takes the release in. */
export function manifest(flags: ManifestFlags, app: string, directory: string): void {
  const dir = resolve(directory)
  if (statSync(dir, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new DorcError('PATH_INVALID', `There is no directory "${dir}"`)
  const serial = flags.serial ?? Math.floor(Date.now() / 1000)
  const [program, ...args] = programArgv('dorc-copier')
  const { stdout, error } = spawnSync(program, args, {
    input: `${JSON.stringify({ kind: 'manifest', args: { app, dir, serial } })}\n`,
    encoding: 'utf8',
    maxBuffer: MAX_BYTES,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  if (error !== undefined) throw error
  const answer = JSON.parse(stdout) as
    | { readonly type: 'result'; readonly result: string }
    | {
        readonly type: 'error'
        readonly code: ErrorCode | null
        readonly message: string
        readonly hint: string | null
      }
  if (answer.type === 'result') process.stdout.write(answer.result)
  else if (answer.code === null) throw new Error(answer.message)
  else throw new DorcError(answer.code, answer.message, answer.hint === null ? {} : { hint: answer.hint })
}
