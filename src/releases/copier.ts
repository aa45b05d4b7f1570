import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { DorcError } from '../core/errors.ts'
import { programArgv } from '../platform/programs.ts'
import type { CopierLine, JobKind, Jobs } from './copier-job.ts'
import type { Progress } from './progress.ts'

export interface CopierOptions {
  readonly onProgress?: (progress: Progress) => void
  /** Kills the copier; what it had begun is no release, and no installed slot. */
  readonly signal?: AbortSignal
}

/** Runs one job in a copier process. Throws the DorcError that it met, or the signal's reason. */
export async function runCopier<Kind extends JobKind>(
  kind: Kind,
  args: Jobs[Kind]['args'],
  { onProgress, signal }: CopierOptions = {},
): Promise<Jobs[Kind]['result']> {
  signal?.throwIfAborted()
  const child = startCopier()
  const kill = (): unknown => child.kill('SIGKILL')
  signal?.addEventListener('abort', kill)
  try {
    const ended = once(child, 'close')
    child.stdin.write(`${JSON.stringify({ kind, args })}\n`)
    const last = await lastLine(child, onProgress)
    await ended
    signal?.throwIfAborted()
    if (last === null) throw new Error(`The copier ended without a result (${kind}): ${endOf(child)}`)
    if (last.type === 'result') return last.result
    throw errorOf(last)
  } finally {
    signal?.removeEventListener('abort', kill)
    kill()
  }
}

function startCopier() {
  const [program, ...args] = programArgv('dorc-copier')
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], cwd: '/' })
  // Writing the job to a copier that died at once: its end tells more than EPIPE does.
  child.stdin.on('error', () => undefined)
  return child
}

type LastLine = Exclude<CopierLine, { type: 'progress' }>

async function lastLine(
  child: ReturnType<typeof startCopier>,
  onProgress: CopierOptions['onProgress'],
): Promise<LastLine | null> {
  let last: LastLine | null = null
  for await (const text of createInterface({ input: child.stdout })) {
    const line = JSON.parse(text) as CopierLine
    if (line.type === 'progress') onProgress?.(line.progress)
    else last = line
  }
  return last
}

function errorOf({ code, message, hint, cause }: Extract<LastLine, { type: 'error' }>): Error {
  if (code === null) return new Error(message)
  return new DorcError(code, message, {
    ...(hint === null ? {} : { hint }),
    ...(cause === null ? {} : { cause: new Error(cause) }),
  })
}

function endOf({ exitCode, signalCode }: ChildProcess): string {
  return signalCode === null ? `exit status ${exitCode}` : `signal ${signalCode}`
}
