import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode } from '../../core/errors.ts'

const POLL_MS = 20

export interface Condemned {
  /** The processes that are left, asked again before each signal: they may fork. */
  readonly left: () => readonly number[]
  readonly isNoneLeft: () => boolean
  /** How long they have between SIGTERM and SIGKILL. */
  readonly timeoutMs: number
}

/** Ends processes as systemd ends a unit: SIGTERM and SIGCONT to each, later SIGKILL until none is left. */
export async function killAll({ left, isNoneLeft, timeoutMs }: Condemned): Promise<void> {
  signalEach(left(), 'SIGTERM')
  // A stopped process cannot act on SIGTERM (systemd.kill(5)).
  signalEach(left(), 'SIGCONT')
  const deadline = performance.now() + timeoutMs
  while (!isNoneLeft()) {
    if (performance.now() >= deadline) signalEach(left(), 'SIGKILL')
    await sleep(POLL_MS)
  }
}

export function signalEach(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch (error) {
      if (!hasCode(error, 'ESRCH')) throw error
    }
  }
}
