import { ownerOf } from '../platform/proc.ts'
import { runCommand } from '../platform/run-command.ts'
import { duration, failed, passed, type ProbeResult } from './probe-result.ts'

export interface CommandProbe {
  readonly command: readonly string[]
  readonly workingDir: string
  readonly environment: Readonly<Record<string, string>>
  /** The process that the probe is about: the command runs as its user, never with more rights than the app has. */
  readonly pid: number
  readonly timeoutMs: number
}

const BASE_ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
}

/** Passes if the command, in the slot's directory and with its environment, exits with status 0 in time. */
export async function probeCommand(probe: CommandProbe): Promise<ProbeResult> {
  const { command, workingDir, environment, pid, timeoutMs } = probe
  const owner = ownerOf(pid)
  if (owner === null) return failed('the process ended')
  const startedAt = performance.now()
  const { isSuccess, outcome, lastLine } = await runCommand({
    argv: command,
    cwd: workingDir,
    environment: { ...BASE_ENVIRONMENT, ...environment },
    account: owner.uid === process.getuid?.() ? null : owner,
    timeoutMs,
  })
  const detail = isSuccess ? `${outcome} in ${duration(performance.now() - startedAt)}` : outcome
  const text = lastLine === '' ? detail : `${detail}: ${lastLine}`
  return isSuccess ? passed(text) : failed(text)
}
