import { existsSync } from 'node:fs'
import { DorcError, describeError } from '../../core/errors.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Logger } from '../../platform/log.ts'
import type { Connection, DataPlane, PlaneReport, Route, SlotProcesses } from '../dataplane.ts'
import type { Report } from './control-protocol.ts'
import type { PublicListeners, RelayHost, RelayProcess } from './ports.ts'
import { type NamedListener, RelayLink } from './relay-link.ts'
import { aggregate, isInForce } from './route-reports.ts'
import { readRoutes, writeRoutes } from './routes-file.ts'
import { withProcesses } from './slot-ends.ts'
import { isSameAddress } from './socket-address.ts'
import { close } from './system-calls.ts'

export interface RelayPlaneOptions {
  readonly host: RelayHost
  readonly listeners: PublicListeners
  /** The file that every generation reads; its folder exists. */
  readonly routesPath: string
  /** Relays of another build are replaced. */
  readonly build: string
  readonly slotProcesses: SlotProcesses
  readonly log: Logger
  readonly clock: Clock
}

export interface RelayPlane extends DataPlane {
  readonly name: 'relay'
  /** Every route that was set and not removed, also by a former daemon. */
  wanted(): Promise<readonly Route[]>
  /** Calls back when connections of an app came, soon after and not for each: they were not steered. */
  onArrival(listener: (app: string) => void): void
  /** What an upgrade does: a new generation takes over, the old ones live on for their last connections. */
  retireAndReplace(): Promise<void>
}

/** A relay that runs, and what it said last; null if it does not answer. */
interface Generation {
  readonly generation: number
  readonly link: RelayLink | null
  readonly report: Report | null
}

interface AnsweringGeneration extends Generation {
  readonly link: RelayLink
  readonly report: Report
}

/** A relay that was just restarted needs a moment; one that stays silent longer gets a successor. */
const SILENCE_MS = 3000
const SILENCE_POLL_MS = 25
const FIRST_BACKOFF_MS = 50
const LAST_BACKOFF_MS = 5000

export function createRelayPlane(options: RelayPlaneOptions): RelayPlane {
  return new RelayDataPlane(options)
}

/**
 * Level-based: whatever happened, `#converge` looks at the relays that run and makes the newest one carry the wanted
 * routes. Invariants: one operation at a time; the routes file holds every wanted route before any relay is told;
 * a generation is retired only after its successor has confirmed all sockets and routes.
 */
class RelayDataPlane implements RelayPlane {
  readonly name = 'relay'
  readonly #options: RelayPlaneOptions
  readonly #log: Logger
  readonly #routes = new Map<string, Route>()
  readonly #links = new Map<string, RelayLink>()
  readonly #arrivalListeners: ((app: string) => void)[] = []
  #hasLoaded = false
  #last: Promise<unknown> = Promise.resolve()
  #cancelRetry: (() => void) | null = null
  #backoffMs = FIRST_BACKOFF_MS
  #isDisposed = false

  constructor(options: RelayPlaneOptions) {
    this.#options = options
    this.#log = options.log
  }

  async setRoute(route: Route): Promise<void> {
    await this.#exclusively(async () => {
      // First of all, so that a taken port changes nothing.
      await this.#openAddress(route)
      this.#routes.set(route.app, route)
      await this.#save()
      const failures = await this.#converge()
      const failure = failures.get(route.app)
      if (failure !== undefined) throw failure
    })
  }

  async removeRoute(app: string): Promise<void> {
    await this.#exclusively(async () => {
      if (this.#routes.delete(app)) {
        await this.#save()
        await this.#converge()
      }
      await this.#options.listeners.close(app)
    })
  }

  async observe(): Promise<PlaneReport> {
    return await this.#exclusively(async () => {
      if (this.#routes.size === 0) return { routes: [] }
      let generations = await this.#survey()
      if (!this.#isConverged(generations)) {
        await this.#converge()
        generations = await this.#survey()
      }
      const reports = generations.flatMap(({ report }) => (report === null ? [] : [report]))
      return { routes: [...this.#routes.values()].flatMap((route) => aggregate(route, reports)) }
    })
  }

  async wanted(): Promise<readonly Route[]> {
    return await this.#exclusively(() => Promise.resolve([...this.#routes.values()]))
  }

  /** The relay is the way that is left when others are lost. */
  onIncident(): void {
    return undefined
  }

  onArrival(listener: (app: string) => void): void {
    this.#arrivalListeners.push(listener)
    for (const link of this.#links.values()) this.#watch(link)
  }

  async connections(app: string): Promise<readonly Connection[]> {
    const generations = await this.#exclusively(() => this.#survey())
    const lists = await Promise.all(
      generations.map(async ({ generation, link }) => {
        const found = (await link?.connections(app)) ?? []
        return found.map((one) => ({ ...one, id: `r${generation}-${one.id}` }))
      }),
    )
    return await withProcesses(lists.flat(), app, this.#options.slotProcesses)
  }

  async closeConnections(app: string, ids: readonly string[]): Promise<number> {
    const generations = await this.#exclusively(() => this.#survey())
    const closed = await Promise.all(
      generations.map(async ({ generation, link }) => {
        const prefix = `r${generation}-`
        const own = ids.filter((id) => id.startsWith(prefix)).map((id) => id.slice(prefix.length))
        return own.length === 0 ? 0 : ((await link?.closeConnections(app, own)) ?? 0)
      }),
    )
    return closed.reduce((sum, count) => sum + count, 0)
  }

  async retireAndReplace(): Promise<void> {
    await this.#exclusively(async () => {
      const before = await this.#survey()
      const successor = await this.#start(before)
      await this.#handOver(successor, before)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true
    this.#cancelRetry?.()
    await this.#last
    for (const link of this.#links.values()) link.close()
  }

  async #openAddress(route: Route): Promise<void> {
    const { listeners } = this.#options
    const before = this.#routes.get(route.app)
    try {
      closeIfAny(await listeners.open(route.app, route.listen))
    } catch (error) {
      const isOurOwn = before !== undefined && before.listen.port === route.listen.port
      if (!(error instanceof DorcError) || error.code !== 'PORT_TAKEN' || !isOurOwn) throw error
      await this.#vacate(before)
      try {
        closeIfAny(await listeners.open(route.app, route.listen))
      } catch (stillTaken) {
        this.#routes.set(before.app, before)
        await this.#save()
        await this.#converge()
        throw stillTaken
      }
    }
  }

  /** `0.0.0.0:80` and `[::]:80` exclude each other: the old has to go before the new can come. */
  async #vacate(route: Route): Promise<void> {
    this.#routes.delete(route.app)
    await this.#save()
    await this.#converge()
    await this.#options.listeners.close(route.app)
  }

  /** The apps whose public address could not be opened, with the reason; the others are carried. */
  async #converge(): Promise<ReadonlyMap<string, unknown>> {
    const generations = await this.#surveyPatiently()
    const current = this.#currentOf(generations)
    const failures = await this.#handOver(current ?? (await this.#start(generations)), generations)
    this.#backoffMs = FIRST_BACKOFF_MS
    return failures
  }

  /** Gives `successor` all sockets and routes, and then retires everyone else. */
  async #handOver(
    successor: AnsweringGeneration,
    generations: readonly Generation[],
  ): Promise<ReadonlyMap<string, unknown>> {
    const failures = new Map<string, unknown>()
    const sockets: NamedListener[] = []
    const isFresh = !generations.some(({ generation }) => generation === successor.generation)
    try {
      for (const route of this.#missingSockets(successor.report)) {
        try {
          const fd = await this.#options.listeners.open(route.app, route.listen)
          if (fd !== null) sockets.push({ app: route.app, fd })
          // It is in nobody's hands but in those that each relay is born with.
          else if (!isFresh) return await this.#handOver(await this.#start(generations), generations)
          else
            throw new DorcError(
              'DATA_PLANE_FAILED',
              `A relay was started without the socket of "${route.app}"`,
            )
        } catch (error) {
          failures.set(route.app, error)
          this.#log.error('could not open a listen address', { app: route.app, error })
        }
      }
      await successor.link.apply(sockets)
    } finally {
      for (const { fd } of sockets) close(fd)
    }
    for (const { generation, link, report } of generations) {
      if (generation === successor.generation || link === null || report === null) continue
      await this.#leaveBehind(generation, link, report)
    }
    return failures
  }

  /** An old generation still needs the routes, for the connections that it holds. */
  async #leaveBehind(generation: number, link: RelayLink, report: Report): Promise<void> {
    try {
      if (report.state === 'serving') {
        await link.retire()
        this.#log.info('retired a relay', { generation, build: report.build })
      }
      await link.apply([])
    } catch (error) {
      // It may end at any moment, and then there is nothing left to tell it.
      this.#log.warn('lost touch with a relay that retires', { generation, error: describeError(error) })
    }
  }

  #missingSockets(report: Report): Route[] {
    return [...this.#routes.values()].filter((route) => {
      const listening = report.routes.find(({ app }) => app === route.app)?.listening ?? null
      return listening === null || !isSameAddress(listening, route.listen)
    })
  }

  async #start(generations: readonly Generation[]): Promise<AnsweringGeneration> {
    const generation = Math.max(0, ...generations.map((one) => one.generation)) + 1
    this.#log.info('starting a relay', { generation, build: this.#options.build })
    const started = await this.#ask(await this.#options.host.start(generation))
    if (!isAnswering(started))
      throw new DorcError('DATA_PLANE_FAILED', `Relay generation ${generation} does not answer`)
    return started
  }

  /** The generation that serves, is of our build and answers: the newest, if there are several. */
  #currentOf(generations: readonly Generation[]): AnsweringGeneration | null {
    const newest = generations.findLast(isAnswering)
    const isCurrent = newest?.report.state === 'serving' && newest.report.build === this.#options.build
    return newest !== undefined && isCurrent ? newest : null
  }

  #isConverged(generations: readonly Generation[]): boolean {
    const current = this.#currentOf(generations)
    if (current === null || current !== generations.at(-1)) return false
    const { report } = current
    const othersRetire = generations.every((one) => one === current || one.report?.state !== 'serving')
    return (
      othersRetire &&
      this.#missingSockets(report).length === 0 &&
      [...this.#routes.values()].every((route) => isInForce(route, report.routes))
    )
  }

  /** Like `#survey`, but waits a while for the newest if it is silent, as while it is being restarted. */
  async #surveyPatiently(): Promise<Generation[]> {
    const deadline = this.#options.clock.now() + SILENCE_MS
    for (;;) {
      const generations = await this.#survey()
      const newest = generations.at(-1)
      if (newest === undefined || newest.report !== null) return generations
      if (this.#options.clock.now() >= deadline) {
        this.#log.warn('a relay does not answer', { generation: newest.generation })
        return generations
      }
      await new Promise<void>((resolve) => this.#options.clock.after(SILENCE_POLL_MS, resolve))
    }
  }

  /** Every generation that runs, oldest first. */
  async #survey(): Promise<Generation[]> {
    await this.#load()
    const running = await this.#options.host.running()
    return await Promise.all(running.map((relay) => this.#ask(relay)))
  }

  async #ask({ generation, controlPath }: RelayProcess): Promise<Generation> {
    try {
      const link = this.#linkTo(controlPath)
      return { generation, link, report: await link.report() }
    } catch {
      // Not there (any more, or yet) or hung: that it does not answer is all there is to know.
      return { generation, link: null, report: null }
    }
  }

  /** A relay that cannot tell arrivals, or is gone, costs promptness only. */
  #watch(link: RelayLink): void {
    const tell = (app: string): void => this.#arrivalListeners.forEach((listener) => listener(app))
    link.watch(tell).catch((error: unknown) => {
      this.#log.warn('a relay does not tell of arrivals', { error: describeError(error) })
    })
  }

  #linkTo(controlPath: string): RelayLink {
    const known = this.#links.get(controlPath)
    if (known !== undefined && !known.isClosed) return known
    const link: RelayLink = new RelayLink(controlPath, () => {
      if (this.#links.get(controlPath) !== link) return
      this.#links.delete(controlPath)
      this.#convergeSoon()
    })
    this.#links.set(controlPath, link)
    if (this.#arrivalListeners.length > 0) this.#watch(link)
    return link
  }

  /** A relay is gone. Without waiting for anybody to ask, look whether one serves. */
  #convergeSoon(): void {
    if (this.#isDisposed || this.#cancelRetry !== null) return
    const delayMs = this.#backoffMs
    this.#backoffMs = Math.min(2 * delayMs, LAST_BACKOFF_MS)
    this.#cancelRetry = this.#options.clock.after(delayMs, () => {
      this.#cancelRetry = null
      void this.#exclusively(async () => {
        if (this.#routes.size > 0 && !this.#isConverged(await this.#survey())) await this.#converge()
      }).catch((error: unknown) => {
        this.#log.error('could not bring a relay back', { error })
        this.#convergeSoon()
      })
    })
  }

  /** Routes that a former daemon wrote are still wanted until somebody says otherwise. */
  async #load(): Promise<void> {
    if (this.#hasLoaded) return
    this.#hasLoaded = true
    if (!existsSync(this.#options.routesPath)) return
    try {
      for (const route of readRoutes(this.#options.routesPath))
        if (!this.#routes.has(route.app)) this.#routes.set(route.app, route)
    } catch (error) {
      this.#log.warn('the routes file is unreadable and will be written anew', { error })
    }
  }

  async #save(): Promise<void> {
    await this.#load()
    try {
      await writeRoutes(this.#options.routesPath, [...this.#routes.values()])
    } catch (cause) {
      const message = `Cannot write the routes to "${this.#options.routesPath}"`
      throw new DorcError('DATA_PLANE_FAILED', message, { cause })
    }
  }

  #exclusively<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#last.then(async () => {
      await this.#load()
      return await operation()
    })
    this.#last = result.catch(() => null)
    return result.catch((error: unknown) => {
      if (error instanceof DorcError) throw error
      throw new DorcError('DATA_PLANE_FAILED', 'The relay can not be told its routes', { cause: error })
    })
  }
}

function closeIfAny(fd: number | null): void {
  if (fd !== null) close(fd)
}

function isAnswering(generation: Generation): generation is AnsweringGeneration {
  return generation.link !== null && generation.report !== null
}
