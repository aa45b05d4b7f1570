import { type ChildProcess, spawn } from 'node:child_process'

export interface Command {
  readonly argv: readonly string[]
  readonly cwd: string
  readonly environment: Readonly<Record<string, string>>
  /** Only root may name another user than itself. */
  readonly account: { readonly uid: number; readonly gid: number } | null
  readonly timeoutMs: number
  /** Gets all that it writes, as it comes. */
  readonly onOutput?: (chunk: Buffer) => void
}

export interface CommandResult {
  readonly isSuccess: boolean
  /** `exit status 1`, `signal KILL`, `no end within 2 s`, or why it did not start. */
  readonly outcome: string
  /** What it wrote last, to stdout or stderr; empty if nothing. */
  readonly lastLine: string
}

const KEPT_BYTES = 4096
const OUTPUT_GRACE_MS = 200

/** Runs a program, without a shell, in a process group of its own that is killed when the time is over. */
export function runCommand(command: Command): Promise<CommandResult> {
  const { argv, cwd, environment, account, timeoutMs } = command
  const [file = '', ...words] = argv
  const child = spawn(file, words, {
    cwd,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    ...(account === null ? {} : { uid: account.uid, gid: account.gid }),
  })
  const output = tailOf(child, command.onOutput)
  return new Promise((resolve) => {
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      killGroup(child)
    }, timeoutMs)
    const finish = (isSuccess: boolean, outcome: string): void => {
      clearTimeout(timer)
      child.stdout?.destroy()
      child.stderr?.destroy()
      resolve({ isSuccess, outcome, lastLine: lastLineOf(output()) })
    }
    child.once('error', (error) => finish(false, error.message))
    child.once('exit', (status, signal) => {
      // What it left behind in its group must not go on beside the next run.
      killGroup(child)
      const end = (): void => {
        if (isLate) finish(false, `no end within ${timeoutMs / 1000} s`)
        else finish(status === 0, exitText(status, signal))
      }
      child.once('close', end)
      // A process that left the group may hold the output open for ever.
      setTimeout(end, OUTPUT_GRACE_MS).unref()
    })
  })
}

/** How a process ended, in systemd's words without the prefix: `exit status 1`, `signal KILL`. */
export function exitText(status: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `exit status ${status}` : `signal ${signal.replace(/^SIG/, '')}`
}

function tailOf(child: ChildProcess, onOutput: Command['onOutput']): () => Buffer {
  let tail: Buffer = Buffer.alloc(0)
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      tail = Buffer.concat([tail, chunk]).subarray(-KEPT_BYTES)
      onOutput?.(chunk)
    })
  return () => tail
}

function lastLineOf(output: Buffer): string {
  const lines = output.toString('utf8').split('\n')
  return (lines.findLast((line) => line.trim() !== '') ?? '').trim().slice(0, 200)
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error) {
    // The whole group is gone already, or (EPERM) only processes that changed their user are left in it.
    if (!(error instanceof Error)) throw error
  }
}
