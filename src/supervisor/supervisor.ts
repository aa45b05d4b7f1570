import type { Slot, UnitState } from '../core/app.ts'
import type { HookName } from '../core/definition.ts'
import type { SlotProcess } from '../core/slot-process.ts'

/**
 * Runs the slots. Two implementations: systemd, and embedded (child processes). All calls are idempotent;
 * failures are DorcErrors UNIT_FAILED or SUPERVISOR_FAILED with the supervisor's own words as cause.
 */
export interface Supervisor extends AsyncDisposable {
  readonly name: 'systemd' | 'embedded'
  /** Makes the slot's unit be exactly `process`, without starting it. Only called while the unit is stopped. */
  install(process: SlotProcess): Promise<void>
  /** Throws what `install` of it would throw, as far as that can be known without changing anything. */
  refuseUnfit(process: SlotProcess): Promise<void>
  /** Removes the unit. Only called while it is stopped. `purge`: with what the supervisor kept for the app, its data and logs. */
  uninstall(app: string, slot: Slot, options: { readonly purge: boolean }): Promise<void>
  /**
   * Runs a hook of the slot, if it has one, as its user, in its directory and sandbox, and waits for its end; after `timeoutMs`
   * it is killed with all that it started. Throws HOOK_FAILED with its last line.
   */
  runHook(process: SlotProcess, hook: HookName, timeoutMs: number): Promise<void>
  /** Resolves once the process was started (not when it is ready); it is kept running and started at boot. */
  start(app: string, slot: Slot): Promise<void>
  /** Resolves once no process of the unit is left; it is no longer started at boot. */
  stop(app: string, slot: Slot): Promise<void>
  /** Runs the reload command. Throws UNIT_FAILED if it has none or it fails. */
  reload(app: string, slot: Slot): Promise<void>
  observe(app: string, slot: Slot): Promise<ObservedUnit>
  /** Calls back soon after a unit changed; a hint, the truth is `observe`. */
  onChange(listener: (app: string, slot: Slot) => void): void
  /** Lines as the app wrote them, oldest first; ends when `signal` aborts or, without `follow`, after the last. */
  logs(app: string, slot: Slot, options: LogOptions): AsyncIterable<LogLine>
}

export interface ObservedUnit {
  readonly unit: string
  readonly state: UnitState
  readonly mainPid: number | null
  /** Every process of the unit, by cgroup or, embedded, by session. */
  readonly pids: readonly number[]
  /** A new value for each start of the main process, also for automatic restarts. */
  readonly invocation: string | null
  /** Automatic restarts since the last `start`. */
  readonly restarts: number
  /** ISO time of the last change of state. */
  readonly since: string | null
  readonly lastExit: string | null
  /** The start that `lastExit` ended; null: none did, or it is not known any more. */
  readonly endedRun: EndedRun | null
  readonly memoryBytes: number | null
  /** The SlotProcess.incarnation of the unit that is installed, read back from the unit itself; null if there is none. */
  readonly incarnation: number | null
}

/** One start of a slot's process that has ended. */
export interface EndedRun {
  readonly invocation: string
  /** ISO times. */
  readonly from: string
  readonly to: string
}

export interface LogOptions {
  readonly lines: number
  readonly follow: boolean
  /** Only what was written in it. */
  readonly run?: EndedRun | null
  readonly signal: AbortSignal
}

export interface LogLine {
  readonly at: string
  readonly slot: Slot
  readonly text: string
}
