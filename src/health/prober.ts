import type { Health, Slot } from '../core/app.ts'
import { describeError } from '../core/errors.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/log.ts'
import type { ProbeResult } from './probe-result.ts'
import { requestText } from './request-text.ts'
import { type ProbedSlot, probeSlot, type Speaks } from './probe-slot.ts'

export type { ProbeResult }

export interface ProbeTarget extends ProbedSlot {
  /** Health is judged anew for each. */
  readonly invocation: string
  readonly pace: 'fast' | 'slow'
}

export interface Prober extends Disposable {
  /** Probes this from now on, at once if it is a new start of the process. To be told again as often as one likes. */
  watch(app: string, slot: Slot, target: ProbeTarget): void
  forget(app: string, slot: Slot): void
  /** `unknown` as well if it is not watched. */
  health(app: string, slot: Slot): Health
  lastResult(app: string, slot: Slot): ProbeResult | null
  /** What its probe asks, in words; null if it is not watched. */
  request(app: string, slot: Slot): string | null
  /** What the app was found to speak where its probe leaves that open; null: not known (yet). */
  speaks(app: string, slot: Slot): Speaks
  /** Calls back whenever a slot's health changed its state, or failed once more. */
  onChange(listener: (app: string, slot: Slot) => void): void
}

export interface ProberDeps {
  readonly clock: Clock
  readonly log: Logger
}

/** At slow pace an app that passes is asked this much less often. */
const SLOW_FACTOR = 10
/** Until an app passes for the first time it is asked more often: most of a deploy is waiting for this. */
const STARTING_MS = 200
/** A slot that begins to fail is asked at fast pace this many times, to be sure soon. */
const SUSPICIOUS_FAILURES = 3

const UNKNOWN: Health = { state: 'unknown' }

export function createProber({ clock, log }: ProberDeps): Prober {
  const watched = new Map<string, Watched>()
  const listeners: ((app: string, slot: Slot) => void)[] = []
  const key = (app: string, slot: Slot): string => `${slot}-${app}`

  const forget = (app: string, slot: Slot): void => {
    watched.get(key(app, slot))?.stop()
    watched.delete(key(app, slot))
  }
  return {
    forget,
    watch(app, slot, target) {
      const known = watched.get(key(app, slot))
      if (known !== undefined && isSameStart(known.target, target)) return known.retarget(target)
      known?.stop()
      const report = (): void => listeners.forEach((listener) => listener(app, slot))
      const fresh = new Watched(target, { clock, log: log.child({ app, slot }), report })
      watched.set(key(app, slot), fresh)
      fresh.start()
    },
    health: (app, slot) => watched.get(key(app, slot))?.health ?? UNKNOWN,
    lastResult: (app, slot) => watched.get(key(app, slot))?.lastResult ?? null,
    request: (app, slot) => {
      const one = watched.get(key(app, slot))
      return one === undefined ? null : requestText(one.target, one.speaks)
    },
    speaks: (app, slot) => watched.get(key(app, slot))?.speaks ?? null,
    onChange: (listener) => listeners.push(listener),
    [Symbol.dispose]() {
      for (const one of watched.values()) one.stop()
      watched.clear()
    },
  }
}

function isSameStart(a: ProbeTarget, b: ProbeTarget): boolean {
  return (
    a.invocation === b.invocation &&
    a.process.port === b.process.port &&
    JSON.stringify(a.probe) === JSON.stringify(b.probe)
  )
}

/** One start of one slot under observation. One probe at a time; the next one is timed from the end of the last. */
class Watched {
  readonly #deps: ProberDeps & { readonly report: () => void }
  target: ProbeTarget
  health: Health = UNKNOWN
  lastResult: ProbeResult | null = null
  speaks: Speaks = null
  #hasPassed = false
  #cancelNext: () => void = () => undefined
  #isProbing = false
  #isStopped = false

  constructor(target: ProbeTarget, deps: ProberDeps & { readonly report: () => void }) {
    this.target = target
    this.#deps = deps
  }

  start(): void {
    void this.#probe()
  }

  stop(): void {
    this.#isStopped = true
    this.#cancelNext()
  }

  retarget(target: ProbeTarget): void {
    const isHurried = target.pace === 'fast' && this.target.pace === 'slow'
    this.target = target
    if (!isHurried || this.#isProbing) return
    this.#cancelNext()
    void this.#probe()
  }

  async #probe(): Promise<void> {
    this.#isProbing = true
    const { result, speaks } = await this.#ask()
    this.#isProbing = false
    if (this.#isStopped) return
    this.speaks = speaks
    this.lastResult = result
    this.#hasPassed ||= result.ok
    const before = this.health
    this.health = judged(before, result, this.#deps.clock.now())
    this.#cancelNext = this.#deps.clock.after(this.#pauseMs(), () => void this.#probe())
    if (this.health.state !== before.state || this.health.state === 'failing') this.#deps.report()
  }

  async #ask(): Promise<{ result: ProbeResult; speaks: Speaks }> {
    try {
      return await probeSlot(this.target, this.speaks)
    } catch (error) {
      // Whatever keeps us from asking (EMFILE, no sock_diag) is no reason to stop asking, and no sign of health.
      this.#deps.log.error('probe-not-possible', { error })
      return { result: { ok: false, detail: `cannot probe: ${describeError(error)}` }, speaks: this.speaks }
    }
  }

  #pauseMs(): number {
    const { probe, pace } = this.target
    if (pace === 'fast') {
      const isStarting = this.health.state === 'failing' && !this.#hasPassed
      return isStarting ? Math.min(STARTING_MS, probe.intervalMs) : probe.intervalMs
    }
    const isSuspicious = this.health.state === 'failing' && this.health.failures < SUSPICIOUS_FAILURES
    return isSuspicious ? probe.intervalMs : probe.intervalMs * SLOW_FACTOR
  }
}

function judged(before: Health, { ok, detail }: ProbeResult, now: number): Health {
  if (ok) return { state: 'passing', since: before.state === 'passing' ? before.since : now, detail }
  return { state: 'failing', failures: before.state === 'failing' ? before.failures + 1 : 1, detail }
}
