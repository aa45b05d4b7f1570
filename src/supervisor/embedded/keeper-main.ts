import { closeSync, writeSync } from 'node:fs'
import { hasCode } from '../../core/errors.ts'
import { bootId, systemClock } from '../../platform/clock.ts'
import { processStat } from '../../platform/proc.ts'
import { becomeSubreaper } from './child-processes.ts'
import { Keeper } from './keeper.ts'
import { LineLog } from './line-log.ts'
import { readInstalled, writeStatus, type SlotFiles, type Status } from './slot-files.ts'

/**
 * The process between the supervisor and one slot: it outlives the supervisor, restarts the slot's process and writes
 * its log. Argument: JSON of `KeeperArguments`. fd 3: where the outcome of the first start goes. SIGTERM: stop.
 */
export interface KeeperArguments {
  readonly files: SlotFiles
  readonly restarts: number
  readonly lastExit: string | null
}

const READY_FD = 3
const REAP_PAUSE_MS = 100
const RETRY_STATUS_MS = 500

const { files, restarts, lastExit } = JSON.parse(process.argv[2] ?? '') as KeeperArguments
const installed = readInstalled(files)
if (installed === null) throw new Error(`No process is installed in ${files.directory}`)
becomeSubreaper()

const stopping = new AbortController()
process.on('SIGTERM', () => stopping.abort())
// The terminal's and the session's signals are for the daemon.
for (const signal of ['SIGINT', 'SIGHUP', 'SIGQUIT'] as const) process.on(signal, () => undefined)

const identity: Pick<Status, 'bootId' | 'keeper'> = {
  bootId: bootId(),
  keeper: { pid: process.pid, startTicks: processStat(process.pid)?.startTicks ?? 0 },
}
const { logFileBytes, logFiles } = installed.limits
const log = new LineLog({
  path: files.logPath,
  fileBytes: logFileBytes,
  files: logFiles,
  wall: () => systemClock.wall(),
})
const keeper = new Keeper({
  installed,
  clock: systemClock,
  log,
  restarts,
  lastExit,
  publish: statusPublisher(),
  signal: stopping.signal,
  onFirstStart: report,
})

let isReapPlanned = false
process.on('SIGCHLD', () => {
  if (isReapPlanned) return
  isReapPlanned = true
  systemClock.after(REAP_PAUSE_MS, () => {
    isReapPlanned = false
    keeper.reap()
  })
})

await keeper.run()
process.exit()

/** A slot must not end because its status cannot be written: the newest one is written as soon as there is room. */
function statusPublisher(): (status: Omit<Status, 'bootId' | 'keeper'>) => void {
  let cancelRetry = (): void => undefined
  return function publish(status) {
    cancelRetry()
    try {
      writeStatus(files.directory, { ...identity, ...status })
    } catch (error) {
      if (!['ENOSPC', 'EDQUOT', 'EROFS', 'EIO'].some((code) => hasCode(error, code))) throw error
      cancelRetry = systemClock.after(RETRY_STATUS_MS, () => publish(status))
    }
  }
}

function report(failure: string | null): void {
  try {
    writeSync(READY_FD, JSON.stringify({ failure }))
  } catch (error) {
    // The daemon died while it waited; the next one finds the outcome in the status.
    if (!hasCode(error, 'EPIPE')) throw error
  }
  closeSync(READY_FD)
}
