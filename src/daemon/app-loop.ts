import {
  type App,
  type MonotonicMs,
  type Problem,
  SLOTS,
  type Slot,
  type SlotIntent,
  type Step,
} from '../core/app.ts'
import { describeError, DorcError } from '../core/errors.ts'
import { eventsBetween } from '../core/events.ts'
import { plan } from '../core/plan.ts'
import { reconcile } from '../core/reconcile.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/log.ts'
import type { Executors } from './executors.ts'
import { executeStep } from './executors.ts'
import type { Observation } from './observe.ts'
import type { Chronicle, Author } from './chronicle.ts'
import type { Receipts } from './receipts.ts'

/**
 * The loop of one app: observe, decide, save, act. Invariants:
 * - `#app` is what is on disk: every change goes through `#commit`, which saves before it assigns.
 * - A decision is saved before any step of it runs, and every step may run twice.
 * - Steps of one slot run one after the other, apart from the loop, so that a slow stop or copy never delays
 *   a switch; a step whose slot's intent has changed meanwhile is dropped.
 */
export interface LoopDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly chronicle: Chronicle
  readonly save: (app: App) => Promise<void>
  readonly observe: (app: App, problems: Problems) => Promise<Observation>
  readonly executors: Executors
  /** Writes the receipts; `onWritten` calls back after each. */
  readonly receipts: (onWritten: () => void) => Receipts
  /** The app is gone from the host and from disk. */
  readonly onForgotten: (name: string) => void
}

export type Problems = Readonly<Record<Slot, Problem | null>>

/** Without any news, look at the world again after this long; sooner while something is under way. */
const IDLE_LOOK_MS = 10_000
const BUSY_LOOK_MS = 1_000
/** What was seen that lately, with no news since, is as true as what another look would find: neither knows the next moment. */
const FRESH_MS = 500
const FIRST_RETRY_MS = 1_000
const LAST_RETRY_MS = 30_000

interface Failure {
  readonly incarnation: number
  readonly problem: Problem
  readonly retryAt: MonotonicMs
  readonly delayMs: number
}

export class AppLoop {
  /** Of its switches. */
  readonly receipts: Receipts
  readonly #deps: LoopDeps
  #app: App
  #observation: Observation | null = null
  #turns: Promise<void> = Promise.resolve()
  #commits: Promise<unknown> = Promise.resolve()
  #routings: Promise<void> = Promise.resolve()
  readonly #working = new Map<Slot, Promise<void>>()
  readonly #failures = new Map<Slot, Failure>()
  readonly #listeners = new Set<() => void>()
  #wake: () => void = () => undefined
  /** When the newest look began, and when something was last reported to have changed. */
  #lookedAt: MonotonicMs = Number.NEGATIVE_INFINITY
  #wokenAt: MonotonicMs = Number.NEGATIVE_INFINITY
  #isDirty = true
  #isClosed = false
  #routeProblem: string | null = null
  #previewProblem: string | null = null
  #loopRetryMs = 0

  constructor(app: App, deps: LoopDeps) {
    this.#app = app
    this.#deps = deps
    this.receipts = deps.receipts(() => this.#notify())
  }

  get app(): App {
    return this.#app
  }

  /** What was last seen of the host; null before the first look. */
  get observation(): Observation | null {
    return this.#observation
  }

  /** Why traffic cannot be routed as wanted; null if it can. */
  get routeProblem(): string | null {
    return this.#routeProblem
  }

  /** Why the preview address does not work; null if it does. */
  get previewProblem(): string | null {
    return this.#previewProblem
  }

  start(): void {
    this.#turns = this.#run()
  }

  /** Stops the loop; slots and routes stay as they are. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.wake()
    await this.#turns
    await Promise.all([...this.#working.values(), this.receipts.close()])
  }

  /** Looks at the world again soon. */
  wake(): void {
    this.#isDirty = true
    this.#wokenAt = this.#deps.clock.now()
    this.#wake()
  }

  /** Called back after every change of intent and every look at the world. Returns what ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Looks at the host now. */
  async look(): Promise<Observation> {
    const lookedAt = this.#deps.clock.now()
    const observation = await this.#deps.observe(this.#app, this.#problems())
    this.#observation = observation
    this.#lookedAt = lookedAt
    return observation
  }

  /** A command looks at the status before it asks for a change: another look would only make clients wait. */
  #freshObservation(): Observation | null {
    const isNews = this.#wokenAt >= this.#lookedAt
    return isNews || this.#deps.clock.now() - this.#lookedAt > FRESH_MS ? null : this.#observation
  }

  /**
   * Changes the intent at somebody's request (null: dorc's own); it is on disk when the promise resolves. Throws what `request`
   * throws, CONFLICT if the app is not at the generation that the author saw, STATE_NOT_SAVED if the disk fails.
   */
  async change(
    author: Author | null,
    request: (app: App, observation: Observation, now: MonotonicMs) => App,
  ): Promise<App> {
    const observation = this.#freshObservation() ?? (await this.look())
    const changed = await this.#commit(author, (app) => {
      if (author !== null) refuseStale(app, author)
      return request(app, observation, this.#deps.clock.now())
    })
    // What was asked for may be a switch: clients need not wait for another look.
    if (changed.removal === null) await this.#routeFirst(changed, observation)
    this.wake()
    return changed
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      this.#isDirty = false
      let wakeAt: MonotonicMs
      try {
        wakeAt = await this.#turn()
        this.#loopRetryMs = 0
      } catch (error) {
        this.#loopRetryMs = nextDelay(this.#loopRetryMs)
        this.#deps.log.error('turn-failed', { error })
        wakeAt = this.#deps.clock.now() + this.#loopRetryMs
      }
      this.#notify()
      await this.#sleepUntil(wakeAt)
    }
  }

  async #turn(): Promise<MonotonicMs> {
    const { clock } = this.#deps
    const { observed } = await this.look()
    const before = this.#app
    let planned: readonly Step[] = []
    let wakeAt: MonotonicMs | null = null
    const decided = await this.#commit(null, (app) => {
      const tick = reconcile(app, observed, clock.now())
      planned = tick.steps
      wakeAt = tick.wakeAt
      return tick.app
    })
    if (this.#app.removal !== null) await this.#remove(planned)
    else await this.#act(decided, planned)
    if (this.#app !== before) this.#isDirty = true
    const lookAt = clock.now() + (this.#isBusy() ? BUSY_LOOK_MS : IDLE_LOOK_MS)
    return wakeAt === null ? lookAt : Math.min(wakeAt, lookAt)
  }

  #isBusy(): boolean {
    const { deploy } = this.#app
    const isUnderWay = deploy !== null && 'until' in deploy
    return (
      isUnderWay ||
      this.#working.size > 0 ||
      this.#failures.size > 0 ||
      this.#routeProblem !== null ||
      this.#previewProblem !== null
    )
  }

  /** Applies a pure change and puts it on disk; one at a time. */
  #commit(author: Author | null, change: (app: App) => App): Promise<App> {
    const committed = this.#commits.then(async () => {
      const before = this.#app
      const after = change(before)
      if (after === before) return before
      await this.#deps.save(after)
      this.#app = after
      for (const event of eventsBetween(before, after)) this.#deps.chronicle.record(after.name, event, author)
      this.#notify()
      return after
    })
    // The next change must not fail because this one did; this one's failure reaches its caller.
    this.#commits = committed.catch(() => undefined)
    return committed
  }

  async #act(app: App, steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      if (step.kind === 'route') await this.#routeInTurn(app, step)
      else if (step.kind === 'preview' || step.kind === 'unpreview') await this.#preview(app, step)
    }
    for (const slot of SLOTS) {
      const intent = app.slots[slot]
      const work = steps.filter((step) => 'slot' in step && step.slot === slot)
      if (intent !== null && work.length > 0) this.#startWork(slot, intent, work)
    }
  }

  /** Its failure is told, and keeps nothing else from being done. */
  async #preview(app: App, step: Extract<Step, { kind: 'preview' | 'unpreview' }>): Promise<void> {
    try {
      await executeStep(this.#deps.executors, app, step)
      this.#previewProblem = null
      this.#isDirty = true
    } catch (error) {
      const problem = describeError(error)
      if (problem !== this.#previewProblem) this.#deps.log.error('preview-failed', { error })
      this.#previewProblem = problem
    }
  }

  async #routeFirst(app: App, { observed }: Observation): Promise<void> {
    const step = plan(app, observed).find(({ kind }) => kind === 'route')
    if (step?.kind === 'route') await this.#routeInTurn(app, step)
  }

  /** One at a time, and none that was planned before the newest decision: traffic must not go back and forth. */
  #routeInTurn(app: App, step: Extract<Step, { kind: 'route' }>): Promise<void> {
    const routed = this.#routings.then(async () => {
      if (this.#app === app) await this.#route(app, step)
      else this.#isDirty = true
    })
    this.#routings = routed
    return routed
  }

  async #route(app: App, step: Extract<Step, { kind: 'route' }>): Promise<void> {
    try {
      await this.receipts.during(step, { app, observation: this.#observation }, () =>
        executeStep(this.#deps.executors, app, step),
      )
      this.#routeProblem = null
      this.#isDirty = true
    } catch (error) {
      const problem = describeError(error)
      if (problem !== this.#routeProblem) this.#deps.log.error('route-failed', { error })
      this.#routeProblem = problem
    }
  }

  #startWork(slot: Slot, intent: SlotIntent, steps: readonly Step[]): void {
    const failure = this.#failures.get(slot)
    if (failure !== undefined && failure.incarnation !== intent.incarnation) this.#failures.delete(slot)
    else if (failure !== undefined && this.#deps.clock.now() < failure.retryAt) return
    if (this.#working.has(slot) || this.#isClosed) return
    const work = this.#work(slot, intent, steps).finally(() => {
      this.#working.delete(slot)
      this.wake()
    })
    this.#working.set(slot, work)
  }

  async #work(slot: Slot, intent: SlotIntent, steps: readonly Step[]): Promise<void> {
    try {
      for (const step of steps) {
        if (this.#app.slots[slot] !== intent) return
        await executeStep(this.#deps.executors, this.#app, step)
      }
      this.#failures.delete(slot)
    } catch (error) {
      const delayMs = nextDelay(this.#failures.get(slot)?.delayMs ?? 0)
      const problem: Problem = {
        code: error instanceof DorcError ? error.code : 'SUPERVISOR_FAILED',
        message: describeError(error),
      }
      const retryAt = this.#deps.clock.now() + delayMs
      this.#failures.set(slot, { incarnation: intent.incarnation, problem, retryAt, delayMs })
      this.#deps.log.error('step-failed', { slot, release: intent.release, error })
    }
  }

  async #remove(steps: readonly Step[]): Promise<void> {
    await Promise.all(this.#working.values())
    for (const step of steps) await executeStep(this.#deps.executors, this.#app, step)
    this.#isClosed = true
    this.#deps.onForgotten(this.#app.name)
  }

  #problems(): Problems {
    const of = (slot: Slot): Problem | null => {
      const failure = this.#failures.get(slot)
      return failure !== undefined && failure.incarnation === this.#app.slots[slot]?.incarnation
        ? failure.problem
        : null
    }
    return { blue: of('blue'), green: of('green') }
  }

  #notify(): void {
    for (const listener of this.#listeners) listener()
  }

  #sleepUntil(at: MonotonicMs): Promise<void> {
    if (this.#isDirty || this.#isClosed) return Promise.resolve()
    const { clock } = this.#deps
    return new Promise((resolve) => {
      const cancel = clock.after(Math.max(0, at - clock.now()), () => this.#wake())
      this.#wake = () => {
        cancel()
        this.#wake = () => undefined
        resolve()
      }
    })
  }
}

function nextDelay(delayMs: number): number {
  return delayMs === 0 ? FIRST_RETRY_MS : Math.min(delayMs * 2, LAST_RETRY_MS)
}

/** Throws CONFLICT if the author has not seen the app as it is. */
export function refuseStale(app: App, { ifMatch }: Author): void {
  if (ifMatch === null || ifMatch === app.generation) return
  throw new DorcError(
    'CONFLICT',
    `"${app.name}" has changed meanwhile: generation ${app.generation}, not ${ifMatch}`,
    {
      hint: `Look again: dorc status ${app.name}`,
    },
  )
}
