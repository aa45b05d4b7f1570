import {
  type App,
  type Observed,
  type ObservedRoute,
  type ObservedSlot,
  type ReleaseNumber,
  SLOTS,
  type Slot,
  type SlotIntent,
  type Step,
} from '../../src/core/app.ts'
import { formatListen } from '../../src/core/definition.ts'

/** How a release behaves once it is started. Times in ms after its start. */
export interface Behaviour {
  readonly readyAfter: number
  /** The process ends so long after each start; null: never. */
  readonly endsAfter: number | null
  /** It goes on running but answers no probe from then on; null: never. */
  readonly hangsAfter: number | null
}

export const healthy: Behaviour = { readyAfter: 300, endsAfter: null, hangsAfter: null }

interface Unit {
  installed: SlotIntent | null
  /** Files are half in place: a crash happened between the beginning and the end of an install. */
  isHalf: boolean
  startedAt: number | null
  restarts: number
  isEnabled: boolean
}

/**
 * The simulated host: it does what steps ask, lets time pass, and notes every violation of the invariants.
 * Its state survives a crash of the daemon; `reboot` is a crash of the host.
 */
export class World {
  readonly units: Record<Slot, Unit> = { blue: newUnit(), green: newUnit() }
  route: ObservedRoute | null = null
  now = 1_000
  isForgotten = false
  /** Violations of the promises, in words. */
  readonly violations: string[] = []
  connections: Record<Slot, number> = { blue: 0, green: 0 }
  /** Set by the script when an operator asked for the active slot itself to be stopped or made anew. */
  mayTouchActive = false
  readonly #behaviours: ReadonlyMap<ReleaseNumber, Behaviour>
  /** The prober starts from nothing with each daemon. */
  #probing: Record<Slot, { startedAt: number; since: number } | null> = { blue: null, green: null }

  constructor(behaviours: ReadonlyMap<ReleaseNumber, Behaviour>) {
    this.#behaviours = behaviours
  }

  observe(): Observed {
    return {
      route: this.route,
      preview: null,
      slots: { blue: this.#observeSlot('blue'), green: this.#observeSlot('green') },
    }
  }

  forgetProbes(): void {
    this.#probing = { blue: null, green: null }
  }

  /** Returns the ms that the host was away. */
  reboot(): number {
    const downMs = 20_000
    this.route = null
    this.now += downMs
    this.connections = { blue: 0, green: 0 }
    for (const slot of SLOTS) {
      const unit = this.units[slot]
      unit.restarts = 0
      unit.startedAt = unit.isEnabled && unit.installed !== null ? this.now : null
    }
    return downMs
  }

  /** Kills the process of a slot; the supervisor starts it again. */
  kill(slot: Slot): void {
    const unit = this.units[slot]
    if (unit.startedAt === null) return
    unit.startedAt = this.now + 1_000
    unit.restarts += 1
    this.connections[slot] = 0
  }

  /** Lets time pass until `until`, or until a process ends and is started again. */
  advance(until: number): void {
    const ends = SLOTS.map((slot) => this.#endOf(slot)).filter((end) => end !== null && end <= until)
    const next = ends.length === 0 ? until : Math.min(...ends.map(Number))
    this.now = Math.max(this.now, next)
    for (const slot of SLOTS) {
      const end = this.#endOf(slot)
      if (end !== null && end <= this.now) this.kill(slot)
    }
  }

  /** `half` stops in the middle of the step, as a crash would. */
  execute(step: Step, app: App, half = false): void {
    this.#checkInvariants(step, app)
    switch (step.kind) {
      case 'route':
        if (!half)
          this.route = {
            listen: formatListen(app.definition.listen),
            target: step.target,
            paused: step.paused,
            guardedPorts: step.guardedPorts,
          }
        return
      case 'preview':
      case 'unpreview':
        return
      case 'unroute':
        this.route = null
        return
      case 'stop-slot':
        this.units[step.slot].startedAt = null
        this.connections[step.slot] = 0
        if (!half) this.units[step.slot].isEnabled = false
        return
      case 'install-slot':
        this.units[step.slot] = { ...newUnit(), installed: half ? null : step.intent, isHalf: half }
        return
      case 'start-slot':
        this.#start(step.slot)
        return
      case 'uninstall-slot':
        this.units[step.slot] = newUnit()
        return
      case 'forget-app':
        this.isForgotten = !half
        return
      default:
        step satisfies never
    }
  }

  #start(slot: Slot): void {
    const unit = this.units[slot]
    if (unit.installed === null) this.violations.push(`${slot} was started without a whole release in it`)
    unit.isEnabled = true
    unit.startedAt ??= this.now
    unit.restarts = 0
  }

  #checkInvariants(step: Step, app: App): void {
    if (app.removal !== null) return
    if (step.kind === 'install-slot' || step.kind === 'stop-slot') {
      const carries = this.route?.target?.slot === step.slot && !this.route.paused
      if (carries && !this.mayTouchActive)
        this.violations.push(`${step.kind} of ${step.slot} while it carried traffic`)
      if (step.kind === 'install-slot' && this.units[step.slot].startedAt !== null) {
        this.violations.push(`${step.slot} was replaced while it ran`)
      }
    }
    if (step.kind === 'route' && step.target !== null) this.#checkSteering(step.target.slot, app)
  }

  /** Traffic may move to a slot that does not answer only by force, or when there is nothing to lose. */
  #checkSteering(to: Slot, app: App): void {
    const from = this.route?.target?.slot ?? null
    const isForced = app.deploy?.kind === 'switch' && app.deploy.force
    if (from === null || from === to || isForced) return
    const fromServes = this.#observeSlot(from).unit === 'active'
    if (this.#observeSlot(to).health.state !== 'passing' && fromServes) {
      this.violations.push(`traffic moved to ${to}, which does not answer`)
    }
  }

  #behaviour(slot: Slot): Behaviour {
    const release = this.units[slot].installed?.release
    return (release === undefined ? undefined : this.#behaviours.get(release)) ?? healthy
  }

  #endOf(slot: Slot): number | null {
    const { startedAt } = this.units[slot]
    const { endsAfter } = this.#behaviour(slot)
    return startedAt === null || endsAfter === null ? null : startedAt + endsAfter
  }

  #observeSlot(slot: Slot): ObservedSlot {
    const unit = this.units[slot]
    const { installed, startedAt } = unit
    const isUp = startedAt !== null && startedAt <= this.now
    const listens = isUp && this.now >= startedAt + this.#behaviour(slot).readyAfter
    return {
      installed: installed?.incarnation ?? null,
      unit: startedAt === null ? 'inactive' : isUp ? 'active' : 'activating',
      restarts: unit.restarts,
      lastExit: unit.restarts > 0 ? 'exit status 1' : null,
      listener:
        listens && installed !== null
          ? { state: 'owned', host: '127.0.0.1', port: installed.definition.port }
          : { state: 'none' },
      health: this.#health(slot, listens),
      connections: this.connections[slot],
      problem: null,
    }
  }

  #health(slot: Slot, listens: boolean): ObservedSlot['health'] {
    const { startedAt } = this.units[slot]
    const { hangsAfter } = this.#behaviour(slot)
    const hangs = hangsAfter !== null && startedAt !== null && this.now >= startedAt + hangsAfter
    if (!listens || startedAt === null) {
      this.#probing[slot] = null
      return { state: 'unknown' }
    }
    if (hangs)
      return {
        state: 'failing',
        failures: Math.floor((this.now - startedAt - hangsAfter) / 1_000),
        detail: 'no answer',
      }
    const probing = this.#probing[slot]
    const since = probing?.startedAt === startedAt ? probing.since : this.now
    this.#probing[slot] = { startedAt, since }
    return { state: 'passing', since, detail: 'HTTP 200' }
  }
}

function newUnit(): Unit {
  return { installed: null, isHalf: false, startedAt: null, restarts: 0, isEnabled: false }
}
