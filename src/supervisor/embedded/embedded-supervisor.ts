import { existsSync, type FSWatcher, mkdirSync, watch } from 'node:fs'
import type { Slot, UnitState } from '../../core/app.ts'
import type { HookName } from '../../core/definition.ts'
import { DorcError } from '../../core/errors.ts'
import type { SlotProcess } from '../../core/slot-process.ts'
import { bootId, type Clock } from '../../platform/clock.ts'
import type { Logger } from '../../platform/log.ts'
import { descendantsOf, isRunning, residentBytes } from '../../platform/proc.ts'
import { runCommand } from '../../platform/run-command.ts'
import type { LogLine, LogOptions, ObservedUnit, Supervisor } from '../supervisor.ts'
import {
  currentStatus,
  isKept,
  killOrphans,
  orphansOf,
  startKeeper,
  stopKeeper,
  stopLostKeepers,
} from './keeper-process.ts'
import { readLog } from './read-log.ts'
import { runHook } from './run-hook.ts'
import {
  isEnabled,
  type Installed,
  type Limits,
  listSlots,
  readInstalled,
  removeInstalled,
  removeLogs,
  setEnabled,
  type SlotFiles,
  slotFiles,
  type Status,
  writeInstalled,
  writeStatus,
} from './slot-files.ts'
import { accountOf, problemOfUser, slotEnvironment } from './start-conditions.ts'

const WATCH_KEEPERS_MS = 1_000
const RELOAD_TIMEOUT_MS = 60_000
/** For a slot whose own time to stop is not known any more. */
const LOST_STOP_TIMEOUT_MS = 10_000

const DEFAULT_LIMITS: Limits = {
  firstRestartMs: 1_000,
  maxRestartMs: 30_000,
  resetAfterMs: 60_000,
  logFileBytes: 8 * 1024 * 1024,
  logFiles: 4,
}

export interface EmbeddedOptions {
  readonly stateDir: string
  readonly logDir: string
  readonly log: Logger
  readonly clock: Clock
  readonly limits?: Partial<Limits>
}

/**
 * Slots as child processes, for hosts without systemd. Between this and each slot stands a keeper, a process that
 * restarts the slot's process and writes its log; it does not depend on the daemon, so a daemon that dies or is
 * upgraded changes nothing for the slots: the next one reads their status from disk. All commands on one slot run one
 * after another. Disposal leaves the slots running.
 */
export async function createEmbeddedSupervisor(options: EmbeddedOptions): Promise<EmbeddedSupervisor> {
  mkdirSync(options.stateDir, { recursive: true, mode: 0o700 })
  const supervisor = new EmbeddedSupervisor(options)
  await supervisor.resume()
  return supervisor
}

export class EmbeddedSupervisor implements Supervisor {
  readonly name = 'embedded'
  readonly #options: EmbeddedOptions
  readonly #limits: Limits
  readonly #listeners: ((app: string, slot: Slot) => void)[] = []
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #queues = new Map<string, Promise<unknown>>()
  #cancelWatch: () => void = () => undefined
  #isClosed = false

  constructor(options: EmbeddedOptions) {
    this.#options = options
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
  }

  /** Takes over what runs, and starts what should run and does not: after a boot, or when a keeper died unseen. */
  async resume(): Promise<void> {
    const slots = listSlots(this.#options)
    for (const files of slots) this.#watch(files)
    await Promise.all(slots.map((files) => this.#revive(files)))
    this.#watchKeepers()
  }

  async install(process: SlotProcess): Promise<void> {
    const files = this.#files(process.app, process.slot)
    await this.#inTurn(files, async () => {
      const problem = problemOfUser(process.user)
      if (problem !== null) throw unknownUser(unitOf(files), problem)
      writeInstalled(files, { process, limits: this.#limits })
      this.#watch(files)
    })
  }

  async refuseUnfit({ app, slot, user }: SlotProcess): Promise<void> {
    const problem = problemOfUser(user)
    if (problem !== null) throw unknownUser(unitOf(this.#files(app, slot)), problem)
  }

  async uninstall(app: string, slot: Slot, { purge }: { readonly purge: boolean }): Promise<void> {
    const files = this.#files(app, slot)
    await this.#inTurn(files, async () => {
      this.#watchers.get(unitOf(files))?.close()
      this.#watchers.delete(unitOf(files))
      removeInstalled(files)
      if (purge) removeLogs(files)
    })
  }

  runHook(process: SlotProcess, hook: HookName, timeoutMs: number): Promise<void> {
    const files = this.#files(process.app, process.slot)
    return runHook(process, hook, { files, timeoutMs, limits: this.#limits, clock: this.#options.clock })
  }

  async start(app: string, slot: Slot): Promise<void> {
    const files = this.#files(app, slot)
    await this.#inTurn(files, async () => {
      const installed = this.#mustBeInstalled(files)
      let status = currentStatus(files)
      if (isKept(status) && status?.isStopping === true) {
        await this.#endSlot(files, installed)
        status = currentStatus(files)
      }
      setEnabled(files, true)
      if (!isKept(status)) await this.#launch(files, installed, { restarts: 0, lastExit: null })
    })
  }

  async stop(app: string, slot: Slot): Promise<void> {
    const files = this.#files(app, slot)
    await this.#inTurn(files, async () => {
      if (!existsSync(files.directory)) return
      setEnabled(files, false)
      await this.#endSlot(files, readInstalled(files))
    })
  }

  async reload(app: string, slot: Slot): Promise<void> {
    const files = this.#files(app, slot)
    await this.#inTurn(files, async () => {
      const { process } = this.#mustBeInstalled(files)
      const status = currentStatus(files)
      const failed = (reason: string): DorcError =>
        new DorcError('UNIT_FAILED', `Cannot reload ${unitOf(files)}`, { cause: new Error(reason) })
      if (process.reloadArgv === null) throw failed('No reload command is defined')
      if (!isKept(status) || status?.main === null || status?.state !== 'active')
        throw failed('It does not run')
      const { isSuccess, outcome, lastLine } = await runCommand({
        argv: process.reloadArgv,
        cwd: process.workingDir,
        environment: slotEnvironment(process, { MAINPID: String(status.main.pid) }),
        account: accountOf(process.user),
        timeoutMs: RELOAD_TIMEOUT_MS,
      })
      if (!isSuccess) throw failed(lastLine === '' ? outcome : `${outcome}: ${lastLine}`)
    })
  }

  async observe(app: string, slot: Slot): Promise<ObservedUnit> {
    const files = this.#files(app, slot)
    const installed = readInstalled(files)
    const status = currentStatus(files)
    const isAlive = isKept(status)
    const keeper = status?.keeper ?? null
    const pids = isAlive && keeper !== null ? descendantsOf(keeper.pid) : orphansOf(this.#unfinished(status))
    const main = isAlive && status?.main !== null && status?.main !== undefined ? status.main : null
    return {
      unit: unitOf(files),
      state: stateOf(status, {
        isAlive,
        isEnabled: isEnabled(files),
        hasOrphans: !isAlive && pids.length > 0,
      }),
      mainPid: main !== null && isRunning(main) ? main.pid : null,
      pids,
      invocation: status?.invocation ?? null,
      restarts: status?.restarts ?? 0,
      since: status?.since ?? null,
      lastExit: status?.lastExit ?? null,
      endedRun: status?.endedRun ?? null,
      memoryBytes: pids.length === 0 ? null : residentBytes(pids),
      incarnation: installed?.process.incarnation ?? null,
    }
  }

  onChange(listener: (app: string, slot: Slot) => void): void {
    this.#listeners.push(listener)
  }

  logs(app: string, slot: Slot, options: LogOptions): AsyncIterable<LogLine> {
    return readLog(this.#files(app, slot), options)
  }

  /** Ends every slot as a shutdown of the host does: the next supervisor starts them again. Disposes of this one. */
  async stopAll(): Promise<void> {
    await this[Symbol.asyncDispose]()
    await Promise.all(
      listSlots(this.#options).map((files) =>
        this.#inTurn(files, async () => this.#endSlot(files, readInstalled(files))),
      ),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#cancelWatch()
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
    await Promise.allSettled(this.#queues.values())
  }

  /** Starts a slot again whose keeper is gone although it should run; a start that failed is left alone. */
  async #revive(files: SlotFiles): Promise<void> {
    if (!this.#isKeeperMissing(files)) return
    await this.#inTurn(files, async () => {
      const installed = readInstalled(files)
      if (this.#isClosed || installed === null || !this.#isKeeperMissing(files)) return
      const status = currentStatus(files)
      const isBoot = status === null
      if (!isBoot) this.#options.log.warn('keeper-lost', { app: files.app, slot: files.slot })
      try {
        await this.#launch(files, installed, {
          restarts: isBoot ? 0 : status.restarts + 1,
          lastExit: status?.lastExit ?? null,
        })
      } catch (error) {
        this.#options.log.error('slot-not-started', { app: files.app, slot: files.slot, error })
      }
    })
  }

  #isKeeperMissing(files: SlotFiles): boolean {
    const status = currentStatus(files)
    return isEnabled(files) && !isKept(status) && status?.state !== 'failed'
  }

  async #launch(
    files: SlotFiles,
    installed: Installed,
    before: { restarts: number; lastExit: string | null },
  ): Promise<void> {
    const { process } = installed
    const status = currentStatus(files)
    if (status === null) await stopLostKeepers(files, process.stopTimeoutMs)
    await killOrphans(this.#unfinished(status), process.stopTimeoutMs)
    const failure = await startKeeper({ files, ...before }, () => {
      this.#changed(files)
      if (!this.#isClosed) void this.#revive(files)
    })
    if (failure !== null)
      throw new DorcError('UNIT_FAILED', `Cannot start ${unitOf(files)}`, {
        cause: new Error(failure),
        hint: `Look at the start command of the app: ${process.startArgv.join(' ')}`,
      })
  }

  /** `installed` null: what was to run is not known any more, and still has to end. */
  async #endSlot(files: SlotFiles, installed: Installed | null): Promise<void> {
    const { stopTimeoutMs, stopArgv } = installed?.process ?? {
      stopTimeoutMs: LOST_STOP_TIMEOUT_MS,
      stopArgv: null,
    }
    const status = currentStatus(files)
    if (status === null) return
    const { keeper } = status
    if (keeper !== null && isRunning(keeper))
      await stopKeeper(keeper, stopArgv === null ? stopTimeoutMs : 2 * stopTimeoutMs)
    await killOrphans(this.#unfinished(currentStatus(files)), stopTimeoutMs)
    const last = currentStatus(files) ?? status
    if (last.state === 'inactive') return
    const since = this.#options.clock.wall()
    const ended = {
      bootId: bootId(),
      keeper: null,
      isStopping: false,
      state: 'inactive',
      main: null,
    } as const
    writeStatus(files.directory, { ...last, ...ended, since })
  }

  /** The status if its keeper died before it could say that nothing is left; else null. */
  #unfinished(status: Status | null): Status | null {
    return status === null || status.state === 'inactive' || status.state === 'failed' ? null : status
  }

  #watchKeepers(): void {
    if (this.#isClosed) return
    this.#cancelWatch = this.#options.clock.after(WATCH_KEEPERS_MS, () => {
      for (const files of listSlots(this.#options)) void this.#revive(files)
      this.#watchKeepers()
    })
  }

  #watch(files: SlotFiles): void {
    if (this.#watchers.has(unitOf(files)) || this.#isClosed) return
    const watcher = watch(files.directory, { persistent: false }, (_event, name) => {
      if (name === 'status.json') this.#changed(files)
    })
    // Only hints come from here: without them changes are seen when somebody observes.
    watcher.on('error', (error) => this.#options.log.warn('slot-watch-failed', { app: files.app, error }))
    this.#watchers.set(unitOf(files), watcher)
  }

  #changed(files: SlotFiles): void {
    if (!this.#isClosed) for (const listener of this.#listeners) listener(files.app, files.slot)
  }

  #files(app: string, slot: Slot): SlotFiles {
    return slotFiles(this.#options, app, slot)
  }

  #mustBeInstalled(files: SlotFiles): Installed {
    const installed = readInstalled(files)
    if (installed === null) throw new DorcError('UNIT_FAILED', `There is no unit ${unitOf(files)}`)
    return installed
  }

  #inTurn<T>(files: SlotFiles, action: () => Promise<T>): Promise<T> {
    const before = this.#queues.get(unitOf(files)) ?? Promise.resolve()
    const run = async (): Promise<T> => {
      try {
        return await action()
      } catch (error) {
        throw isSystemError(error)
          ? new DorcError('SUPERVISOR_FAILED', `Cannot change ${unitOf(files)}`, { cause: error })
          : error
      }
    }
    const mine = before.then(run, run)
    this.#queues.set(unitOf(files), mine)
    return mine
  }
}

/** What the system refused (a full disk, no more processes), as against a mistake of ours. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && !(error instanceof DorcError) && 'syscall' in error
}

function unitOf({ app, slot }: { app: string; slot: Slot }): string {
  return `${slot}-${app}`
}

function stateOf(
  status: Status | null,
  facts: { isAlive: boolean; isEnabled: boolean; hasOrphans: boolean },
): UnitState {
  if (status === null) return facts.isEnabled ? 'activating' : 'inactive'
  if (facts.isAlive || status.state === 'failed' || status.state === 'inactive') return status.state
  // Its keeper died: it is about to be started again, or what is left of it is about to be ended.
  if (facts.isEnabled) return 'activating'
  return facts.hasOrphans ? 'deactivating' : 'inactive'
}

function unknownUser(unit: string, problem: string): DorcError {
  return new DorcError('UNIT_FAILED', `Cannot install ${unit}`, {
    cause: new Error(problem),
    hint: 'Remove `user` from the definition of the app, or run the daemon as root',
  })
}
