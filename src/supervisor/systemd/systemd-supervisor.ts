import type { Slot, UnitState } from '../../core/app.ts'
import type { HookName } from '../../core/definition.ts'
import { DorcError } from '../../core/errors.ts'
import type { SlotProcess } from '../../core/slot-process.ts'
import {
  dynamicUserName,
  hookUnitName,
  hookUnitText,
  INCARNATION_VARIABLE,
  slotUnitName,
  slotUnitText,
} from '../../core/unit-file.ts'
import { programPath } from '../../core/unit-syntax.ts'
import type { Logger } from '../../platform/log.ts'
import { describeHook, hookFailed } from '../hook-failed.ts'
import type { EndedRun, LogLine, LogOptions, ObservedUnit, Supervisor } from '../supervisor.ts'
import { isSystemdError } from './bus.ts'
import { processesIn } from './cgroup.ts'
import { exitText } from './exit-text.ts'
import { readJournal } from './journal.ts'
import type { Systemd, UnitVerb } from './systemd.ts'
import { UnitFiles } from './unit-files.ts'
import type { UnitProperties } from './unit-properties.ts'

export interface SystemdSupervisorDeps {
  /** Shared; the caller closes it. */
  readonly systemd: Systemd
  /** Where units are written: /etc/systemd/system. */
  readonly unitDir: string
  /** dorc's own directory, hidden from apps. */
  readonly stateDir: string
  readonly log: Logger
}

/**
 * Slots as systemd services `blue-APP`, `green-APP`. Nothing is kept here that systemd and the unit files do not say
 * again: a daemon that dies or is upgraded changes nothing for the slots. Disposal leaves them running.
 */
export async function createSystemdSupervisor(deps: SystemdSupervisorDeps): Promise<Supervisor> {
  const hasRestartSteps = (await deps.systemd.version()) >= 254
  return new SystemdSupervisor(deps, hasRestartSteps)
}

class SystemdSupervisor implements Supervisor {
  readonly name = 'systemd'
  readonly #systemd: Systemd
  readonly #files: UnitFiles
  readonly #deps: SystemdSupervisorDeps
  readonly #hasRestartSteps: boolean
  /** systemd forgets how a process ended when the next one starts. */
  readonly #lastExits = new Map<string, { readonly text: string; readonly run: EndedRun | null }>()

  constructor(deps: SystemdSupervisorDeps, hasRestartSteps: boolean) {
    this.#deps = deps
    this.#systemd = deps.systemd
    this.#files = new UnitFiles(deps.unitDir)
    this.#hasRestartSteps = hasRestartSteps
  }

  async install(process: SlotProcess): Promise<void> {
    const unit = slotUnitName(process.app, process.slot)
    const { stateDir } = this.#deps
    const text = slotUnitText(process, { stateDir, hasRestartSteps: this.#hasRestartSteps })
    await asSupervisorFailure(`Cannot install unit "${unit}"`, async () => {
      const isNew = await this.#files.write(unit, text)
      const before = await this.#systemd.properties(unit)
      if (isNew || before.flag('NeedDaemonReload') || before.text('LoadState') !== 'loaded')
        await this.#systemd.reload()
      const taken = await this.#systemd.properties(unit)
      mustBeTaken(taken, process, this.#files.path(unit))
      const dropIns = taken.texts('DropInPaths')
      if (dropIns.length > 0) this.#deps.log.warn('unit-has-drop-ins', { unit, dropIns })
    })
  }

  async refuseUnfit(process: SlotProcess): Promise<void> {
    const { stateDir } = this.#deps
    // For what it throws.
    slotUnitText(process, { stateDir, hasRestartSteps: this.#hasRestartSteps })
    await this.#files.refuseForeign(slotUnitName(process.app, process.slot))
  }

  async uninstall(app: string, slot: Slot, { purge }: { readonly purge: boolean }): Promise<void> {
    const unit = slotUnitName(app, slot)
    await asSupervisorFailure(`Cannot remove unit "${unit}"`, async () => {
      if (purge) await this.#systemd.cleanState(unit)
      await this.#systemd.disable(unit)
      if (await this.#files.remove(unit)) await this.#systemd.reload()
      await this.#systemd.resetFailed(unit)
      this.#lastExits.delete(unit)
    })
  }

  async runHook(process: SlotProcess, hook: HookName, timeoutMs: number): Promise<void> {
    const argv = process.hooks[hook]
    if (argv === null) return
    const unit = hookUnitName(process.app, process.slot)
    const { stateDir } = this.#deps
    const options = { stateDir, hasRestartSteps: this.#hasRestartSteps }
    await asSupervisorFailure(`Cannot run ${describeHook(hook)} of "${process.app}"`, async () => {
      // One that a dead daemon began may still run.
      await this.#systemd.endIfLoaded(unit)
      await this.#files.write(unit, hookUnitText(process, { argv, timeoutMs }, options))
      await this.#systemd.reload()
      try {
        const result = await this.#systemd.runJob('StartUnit', unit)
        if (result !== 'done') throw await this.#hookFailure(hook, unit, process.slot)
      } finally {
        await this.#files.remove(unit)
        await this.#systemd.resetFailed(unit)
        await this.#systemd.reload()
      }
    })
  }

  async #hookFailure(hook: HookName, unit: string, slot: Slot): Promise<DorcError> {
    const properties = await this.#systemd.properties(unit)
    const options = { lines: 1, follow: false, signal: new AbortController().signal }
    const [last] = await Array.fromAsync(readJournal(unit, slot, options))
    return hookFailed(hook, [exitText(properties) ?? 'it did not start', last?.text])
  }

  async start(app: string, slot: Slot): Promise<void> {
    const unit = slotUnitName(app, slot)
    await asSupervisorFailure(`Cannot start unit "${unit}"`, async () => {
      await this.#systemd.enable(unit)
      await this.#runJob('StartUnit', unit)
    })
  }

  async stop(app: string, slot: Slot): Promise<void> {
    const unit = slotUnitName(app, slot)
    await asSupervisorFailure(`Cannot stop unit "${unit}"`, async () => {
      // First: a reboot in the middle must not start it again.
      await this.#systemd.disable(unit)
      const { state } = await this.observe(app, slot)
      if (state !== 'inactive' && state !== 'failed') await this.#runJob('StopUnit', unit)
      // An app that answers SIGTERM with an error did end, as it was asked to.
      await this.#systemd.resetFailed(unit)
    })
  }

  async reload(app: string, slot: Slot): Promise<void> {
    const unit = slotUnitName(app, slot)
    const properties = await this.#systemd.properties(unit)
    if (!properties.flag('CanReload'))
      throw new DorcError('UNIT_FAILED', `Cannot reload unit "${unit}"`, {
        cause: new Error('No reload command is defined'),
      })
    await asSupervisorFailure(`Cannot reload unit "${unit}"`, () => this.#runJob('ReloadUnit', unit))
  }

  async observe(app: string, slot: Slot): Promise<ObservedUnit> {
    const unit = slotUnitName(app, slot)
    const properties = await this.#systemd.properties(unit)
    const ended = exitText(properties)
    const mainPid = properties.number('MainPID')
    if (ended !== null && mainPid === 0)
      this.#lastExits.set(unit, { text: ended, run: endedRunOf(properties) })
    const incarnation = properties.environment(INCARNATION_VARIABLE)
    return {
      unit,
      state: stateOf(properties.text('ActiveState')),
      mainPid: mainPid === 0 ? null : mainPid,
      pids: processesIn(properties.text('ControlGroup')),
      invocation: invocationOf(properties),
      restarts: properties.number('NRestarts'),
      since: properties.time('StateChangeTimestamp'),
      lastExit: this.#lastExits.get(unit)?.text ?? null,
      endedRun: this.#lastExits.get(unit)?.run ?? null,
      memoryBytes: properties.counter('MemoryCurrent'),
      incarnation: incarnation === null ? null : Number(incarnation),
    }
  }

  onChange(listener: (app: string, slot: Slot) => void): void {
    this.#systemd.onUnitChange((unit) => {
      const [, slot, app] = /^(blue|green)-(.+)\.service$/.exec(unit) ?? []
      if (app !== undefined && (slot === 'blue' || slot === 'green')) listener(app, slot)
    })
  }

  logs(app: string, slot: Slot, options: LogOptions): AsyncIterable<LogLine> {
    return readJournal(slotUnitName(app, slot), slot, options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing of its own: the units live on, and the bus is the caller's.
  }

  async #runJob(verb: UnitVerb, unit: string): Promise<void> {
    const result = await this.#systemd.runJob(verb, unit)
    if (result === 'done') return
    const properties = await this.#systemd.properties(unit)
    const state = properties.text('ActiveState')
    if (result === 'lost' && (verb === 'StopUnit') === (state === 'inactive')) return
    const reason = exitText(properties) ?? `state ${state}`
    throw new DorcError('UNIT_FAILED', `${failureOf(verb)} unit "${unit}"`, {
      cause: new Error(`systemd's job ended with "${result}": ${reason}`),
      hint: `Run: journalctl -u ${unit} -n 50`,
    })
  }
}

function failureOf(verb: UnitVerb): string {
  return `Cannot ${verb.replace('Unit', '').toLowerCase()}`
}

/** What systemd has loaded must be what was written: it skips lines that it cannot read, with a warning only. */
function mustBeTaken(taken: UnitProperties, process: SlotProcess, path: string): void {
  const [program = '', ...words] = process.startArgv
  const wanted: [what: string, wanted: unknown, taken: unknown][] = [
    ['LoadState', 'loaded', taken.text('LoadState')],
    ['FragmentPath', path, taken.text('FragmentPath')],
    ['ExecStart', [programPath(program), ...words], taken.argv('ExecStart')],
    ['User', process.user ?? dynamicUserName(process.app), taken.text('User')],
    [INCARNATION_VARIABLE, String(process.incarnation), taken.environment(INCARNATION_VARIABLE)],
  ]
  const different = wanted.find(([, want, took]) => JSON.stringify(want) !== JSON.stringify(took))
  if (different === undefined) return
  const [what, want, took] = different
  const dropIns = taken.texts('DropInPaths')
  throw new DorcError(
    'SUPERVISOR_FAILED',
    `systemd took ${what} of "${taken.unit}" as ${JSON.stringify(took)} and not as ${JSON.stringify(want)}`,
    {
      hint:
        dropIns.length > 0
          ? `Look at the drop-ins of the unit: ${dropIns.join(' ')}`
          : `Run: systemd-analyze verify ${taken.unit}`,
    },
  )
}

/** The rest are words of ours already. */
function stateOf(activeState: string): UnitState {
  switch (activeState) {
    case 'active':
    case 'activating':
    case 'deactivating':
    case 'failed':
      return activeState
    case 'reloading':
      return 'active'
    case 'maintenance':
      return 'deactivating'
    default:
      return 'inactive'
  }
}

function invocationOf(properties: UnitProperties): string | null {
  const bytes = properties.bytes('InvocationID')
  return bytes.length === 0 ? null : bytes.toString('hex')
}

function endedRunOf(properties: UnitProperties): EndedRun | null {
  const invocation = invocationOf(properties)
  const from = properties.time('ExecMainStartTimestamp')
  const to = properties.time('ExecMainExitTimestamp')
  return invocation === null || from === null || to === null ? null : { invocation, from, to }
}

async function asSupervisorFailure(what: string, act: () => Promise<void>): Promise<void> {
  try {
    await act()
  } catch (error) {
    if (error instanceof DorcError) throw error
    const isOfUnit = isSystemdError(error, 'NoSuchUnit') || isSystemdError(error, 'UnitMasked')
    throw new DorcError(isOfUnit ? 'UNIT_FAILED' : 'SUPERVISOR_FAILED', what, { cause: error })
  }
}
