import { setTimeout as sleep } from 'node:timers/promises'
import { Bus, type BusCall, type BusSignal, isSystemdError, MANAGER_PATH, SYSTEMD } from './bus.ts'
import { unitObjectPath, unitOfObjectPath } from './unit-path.ts'
import { UnitProperties } from './unit-properties.ts'

const MANAGER = `${SYSTEMD}.Manager`
const RELOAD_TIMEOUT_MS = 90_000
const ASK_ABOUT_JOB_MS = 2_000
const ASK_ABOUT_CLEANING_MS = 50

/** systemd.unit job results (org.freedesktop.systemd1(5), JobRemoved); `lost`: it ended, and nobody heard how. */
export type JobResult =
  | 'done'
  | 'canceled'
  | 'timeout'
  | 'failed'
  | 'dependency'
  | 'skipped'
  | 'invalid'
  | 'assert'
  | 'unsupported'
  | 'collected'
  | 'once'
  | 'lost'

export type UnitVerb = 'StartUnit' | 'StopUnit' | 'ReloadUnit' | 'RestartUnit'

/** Process 1, as dorc talks to it. Failures are DBusErrors in systemd's own words. */
export class Systemd implements AsyncDisposable {
  readonly #bus: Bus
  #lastReload: Promise<unknown> = Promise.resolve()
  #nextReload: Promise<void> | null = null

  constructor(bus: Bus) {
    this.#bus = bus
  }

  /** Reads every unit file again. Never two at a time; those who ask while one runs share the next. */
  reload(): Promise<void> {
    this.#nextReload ??= this.#lastReload.then(async () => {
      this.#nextReload = null
      await this.#manager('Reload', '', [], RELOAD_TIMEOUT_MS)
    })
    this.#lastReload = this.#nextReload.catch(() => undefined)
    return this.#nextReload
  }

  /** Resolves when the job has ended, however long that takes: units have timeouts of their own. */
  async runJob(verb: UnitVerb, unit: string): Promise<JobResult> {
    const results = new Map<string, JobResult>()
    let wake: () => void = () => undefined
    const stopListening = this.#bus.onSignal(({ member, body }) => {
      if (member !== 'JobRemoved') return
      const [, job, , result] = body as [number, string, string, JobResult]
      results.set(job, result)
      wake()
    })
    try {
      const job = (await this.#manager(verb, 'ss', [unit, 'replace'])) as string
      for (;;) {
        const result = results.get(job)
        if (result !== undefined) return result
        if (!(await this.#isQueued(job))) return results.get(job) ?? 'lost'
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, ASK_ABOUT_JOB_MS)
          wake = () => {
            clearTimeout(timer)
            resolve()
          }
          if (results.has(job)) wake()
        })
      }
    } finally {
      stopListening()
    }
  }

  async enable(unit: string): Promise<void> {
    await this.#manager('EnableUnitFiles', 'asbb', [[unit], false, false])
  }

  /** Does nothing for a unit that has no file. */
  async disable(unit: string): Promise<void> {
    await unlessNoSuchUnit(this.#manager('DisableUnitFiles', 'asb', [[unit], false]))
  }

  /** Forgets that the unit failed; does nothing for a unit that is not loaded. */
  async resetFailed(unit: string): Promise<void> {
    await unlessNoSuchUnit(this.#manager('ResetFailedUnit', 's', [unit]))
  }

  /**
   * Deletes the state directory of a unit that is stopped, as `systemctl clean --what=state` does; nothing for a unit that has
   * none. systemd answers before it is done, and the unit is in `maintenance` meanwhile (org.freedesktop.systemd1(5)).
   */
  async cleanState(unit: string): Promise<void> {
    if ((await this.properties(unit)).texts('StateDirectory').length === 0) return
    await unlessNoSuchUnit(this.#manager('CleanUnit', 'sas', [unit, ['state']]))
    while ((await this.properties(unit)).text('ActiveState') === 'maintenance')
      await sleep(ASK_ABOUT_CLEANING_MS)
  }

  /** Stops a unit and waits for its end; does nothing for one that does not run. */
  async endIfLoaded(unit: string): Promise<void> {
    const state = (await this.properties(unit)).text('ActiveState')
    if (state !== 'inactive' && state !== 'failed') await this.runJob('StopUnit', unit)
  }

  /** Sends SIGTERM to the main process of a unit; does nothing for a unit that is not loaded. */
  async terminate(unit: string): Promise<void> {
    await unlessNoSuchUnit(this.#manager('KillUnit', 'ssi', [unit, 'main', 15]))
  }

  /** All properties of a unit; one that does not exist has `LoadState` `not-found`. */
  async properties(unit: string): Promise<UnitProperties> {
    const values = await this.#bus.call({
      path: unitObjectPath(unit),
      interface: 'org.freedesktop.DBus.Properties',
      member: 'GetAll',
      signature: 's',
      // sd-bus answers an empty interface with the properties of all of them.
      body: [''],
    })
    return new UnitProperties(unit, values)
  }

  /** Names of the units with a process, or about to have one, that match a pattern (glob(7)). */
  async runningUnits(pattern: string): Promise<string[]> {
    const states = ['active', 'reloading', 'activating', 'deactivating']
    const units = (await this.#manager('ListUnitsByPatterns', 'asas', [states, [pattern]])) as [string][]
    return units.map(([name]) => name)
  }

  /** `252`; 0 if it does not begin with a number. */
  async version(): Promise<number> {
    return Number(/^\d+/.exec(await this.#managerText('Version'))?.[0] ?? 0)
  }

  /** The host is shutting down: nothing is to be started any more. */
  async isStopping(): Promise<boolean> {
    return (await this.#managerText('SystemState')) === 'stopping'
  }

  async #managerText(property: 'Version' | 'SystemState'): Promise<string> {
    return (await this.#bus.call({
      path: MANAGER_PATH,
      interface: 'org.freedesktop.DBus.Properties',
      member: 'Get',
      signature: 'ss',
      body: [MANAGER, property],
    })) as string
  }

  /** Calls back when anything about a unit may have changed. */
  onUnitChange(listener: (unit: string) => void): void {
    this.#bus.onSignal(({ member, path, body }: BusSignal) => {
      const unit = member === 'JobRemoved' ? (body[2] as string) : unitOfObjectPath(path)
      if (unit !== null) listener(unit)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#bus[Symbol.asyncDispose]()
  }

  async #isQueued(job: string): Promise<boolean> {
    try {
      await this.#bus.call({
        path: job,
        interface: 'org.freedesktop.DBus.Properties',
        member: 'Get',
        signature: 'ss',
        body: [`${SYSTEMD}.Job`, 'State'],
      })
      return true
    } catch (error) {
      if (isUnknownObject(error)) return false
      // The bus is away; the job is not.
      return true
    }
  }

  #manager(member: string, signature = '', body: unknown[] = [], timeoutMs?: number): Promise<unknown> {
    const call: BusCall = { path: MANAGER_PATH, interface: MANAGER, member }
    return this.#bus.call({
      ...call,
      ...(signature === '' ? {} : { signature, body }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    })
  }
}

/** Connects to process 1. Throws what the bus answered if there is none. */
export async function openSystemd(socketPath = '/run/dbus/system_bus_socket'): Promise<Systemd> {
  const bus = new Bus(socketPath)
  try {
    await bus.subscribe()
    return new Systemd(bus)
  } catch (error) {
    await bus[Symbol.asyncDispose]()
    throw error
  }
}

async function unlessNoSuchUnit(call: Promise<unknown>): Promise<void> {
  try {
    await call
  } catch (error) {
    if (!isSystemdError(error, 'NoSuchUnit')) throw error
  }
}

function isUnknownObject(error: unknown): boolean {
  if (!(error instanceof Error) || !('dbusName' in error)) return false
  return String(error.dbusName).startsWith('org.freedesktop.DBus.Error.Unknown')
}
