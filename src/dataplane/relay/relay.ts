import { describeError } from '../../core/errors.ts'
import type { Logger } from '../../platform/log.ts'
import {
  CONNECTED,
  ConnectionTable,
  FIN_QUEUED,
  IS_CLIENT,
  NO_PEER,
  OPEN,
  READY,
  BLOCKED,
  URGENT,
} from './connection-table.ts'
import {
  type ConnectionPage,
  type ControlRequest,
  type Hello,
  LISTENERS_PER_MESSAGE,
  type RelayRouteReport,
} from './control-protocol.ts'
import { type Answer, ControlServer } from './control-server.ts'
import { Epoll, EPOLLERR, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP } from './epoll.ts'
import { Listeners } from './listeners.ts'
import { RelayLedger } from './relay-ledger.ts'
import { RelayRoute } from './relay-route.ts'
import { readRoutes } from './routes-file.ts'
import { Streams } from './streams.ts'
import { close } from './system-calls.ts'
import { TAG } from './tags.ts'
import { Upstreams } from './upstreams.ts'

const ARRIVALS_EACH_MS = 20

export interface RelayOptions {
  readonly build: string
  readonly generation: number
  readonly routesPath: string
  readonly controlPath: string
  /** Readable when the runtime's own event loop has work. */
  readonly runtimeFd: number
  readonly log: Logger
}

/** One relay generation: the loop, and what it is told. */
export class Relay {
  readonly #options: RelayOptions
  readonly #log: Logger
  readonly #epoll = new Epoll()
  readonly #table = new ConnectionTable()
  readonly #streams: Streams
  readonly #upstreams: Upstreams
  readonly #listeners: Listeners
  readonly #control: ControlServer
  readonly #ledger: RelayLedger
  /** When watchers were told of arrivals last, and how many there had been. */
  #told = { atMs: 0, accepted: 0 }
  readonly #routes = new Map<string, RelayRoute>()
  readonly #routeById: RelayRoute[] = []
  #isRetiring = false

  constructor(options: RelayOptions) {
    this.#options = options
    this.#log = options.log
    const [table, epoll, log] = [this.#table, this.#epoll, options.log]
    this.#streams = new Streams(table, (fd) => this.#upstreams.onEnd(fd))
    this.#ledger = new RelayLedger(table, this.#streams)
    const routeOf = (id: number): RelayRoute => this.#routeById[id] ?? this.#unknownRoute()
    this.#upstreams = new Upstreams({ table, epoll, streams: this.#streams, routeOf })
    this.#listeners = new Listeners({ table, epoll, log, upstreams: this.#upstreams })
    this.#control = new ControlServer(options.controlPath, epoll, (request, fds) =>
      this.#answer(request, fds),
    )
    epoll.add(options.runtimeFd, EPOLLIN, TAG.runtime)
  }

  /**
   * Serves until the runtime's event loop wants its turn (`yielded`), or until this generation has retired and its
   * last connection has ended.
   */
  serve(): 'yielded' | 'ended' {
    for (;;) {
      // Before the wait: a signal retires an idle relay in the runtime's turn, and then no event may ever come.
      if (this.#isRetiring && this.#table.count === 0) return 'ended'
      if (this.#turn()) return 'yielded'
    }
  }

  /** Takes a public listening socket over, for the app's route or for one still to come. */
  giveListener(app: string, fd: number): void {
    if (this.#isRetiring) throw new Error('This generation is retiring')
    this.#listeners.give(this.#routeFor(app), fd)
  }

  /** Makes the routes what the file says. Throws if it can not be read, and then nothing has changed. */
  applyRoutes(): void {
    const definitions = readRoutes(this.#options.routesPath)
    const wanted = new Set(definitions.map(({ app }) => app))
    for (const definition of definitions) {
      const route = this.#routeFor(definition.app)
      if (route.define(definition)) this.#upstreams.reroute(route)
      this.#listeners.refresh(route)
    }
    for (const route of this.#routes.values()) if (!wanted.has(route.app)) this.#removeRoute(route)
  }

  /** Accepts no more; connections that are open or held go on. */
  retire(): void {
    if (this.#isRetiring) return
    this.#isRetiring = true
    for (const route of this.#routes.values()) this.#listeners.close(route)
    this.#log.info('retiring', { sockets: this.#table.count })
  }

  /** Retires without having been told to by the daemon, which learns of it by the end of its control connection. */
  leave(): void {
    this.retire()
    this.#control.hangUp()
  }

  get isRetiring(): boolean {
    return this.#isRetiring
  }

  /** Resets what is still open: ending the process alone would send ends of stream that look like complete ones. */
  [Symbol.dispose](): void {
    for (const client of this.#table.matching(IS_CLIENT, IS_CLIENT)) this.#streams.reset(client)
    this.#streams.closeEnded()
    for (const route of this.#routes.values()) this.#listeners.close(route)
    this.#control.close()
    this.#epoll.close()
  }

  #turn(): boolean {
    const count = this.#epoll.wait(this.#waitMs(performance.now()))
    const now = performance.now()
    let hasYielded = false
    for (let index = 0; index < count; index++) {
      const fd = this.#epoll.fdAt(index)
      const tag = this.#epoll.tagAt(index)
      if (tag === TAG.connection) this.#onSocket(fd, this.#epoll.eventsAt(index))
      else if (tag === TAG.listener) this.#listeners.accept(fd, now)
      else if (tag === TAG.control) this.#control.onEvent(fd, this.#epoll.eventsAt(index))
      else hasYielded = true
    }
    if (this.#streams.hasUnfinished) this.#streams.continueUnfinished()
    this.#upstreams.tick(this.#routes.values(), now)
    this.#streams.closeEnded()
    this.#listeners.resume(now)
    if (this.#owesArrivals && now >= this.#told.atMs + ARRIVALS_EACH_MS) this.#tellArrivals(now)
    return hasYielded
  }

  get #owesArrivals(): boolean {
    return this.#control.isWatched && this.#listeners.accepted > this.#told.accepted
  }

  /** At most once in a while: one connection says as much as a thousand. */
  #tellArrivals(atMs: number): void {
    const routes = [...this.#routes.values()].filter((route) => route.accepted > route.told)
    this.#told = { atMs, accepted: this.#listeners.accepted }
    for (const route of routes) route.told = route.accepted
    this.#control.tellWatchers({ event: 'arrival', apps: routes.map(({ app }) => app) })
  }

  /** -1: until an event comes. */
  #waitMs(now: number): number {
    if (this.#streams.hasUnfinished) return 0
    const waits = [this.#upstreams.waitMs(now), this.#listeners.waitMs(now)].filter((ms) => ms >= 0)
    if (this.#owesArrivals) waits.push(Math.max(0, this.#told.atMs + ARRIVALS_EACH_MS - now))
    return waits.length === 0 ? -1 : Math.ceil(Math.min(...waits))
  }

  #onSocket(fd: number, events: number): void {
    const flags = this.#table.flagsOf(fd)
    if ((flags & OPEN) === 0) return
    // What a server says first may come in the very event that tells of the connection.
    if ((flags & CONNECTED) === 0 && !this.#upstreams.onConnecting(fd, events)) return
    const peer = this.#table.peerOf(fd)
    if (peer === NO_PEER || (this.#table.flagsOf(peer) & CONNECTED) === 0)
      return this.#upstreams.onWaitingClient(fd, events)
    if ((events & EPOLLERR) !== 0) return this.#streams.reset(fd)
    if ((events & EPOLLOUT) !== 0 && (flags & BLOCKED) !== 0) this.#streams.flush(fd)
    if ((events & ~EPOLLOUT) === 0 || (this.#table.flagsOf(fd) & OPEN) === 0) return
    const fin = (events & EPOLLRDHUP) === 0 ? 0 : FIN_QUEUED
    this.#table.set(fd, READY | fin | ((events & EPOLLPRI) === 0 ? 0 : URGENT))
    this.#streams.pump(fd)
  }

  #answer(request: ControlRequest, fds: readonly number[]): Answer {
    switch (request.do) {
      case 'hello':
        return { document: this.#hello() }
      case 'apply':
        this.#apply(request.listeners, fds)
        return { document: { ok: true } }
      case 'report': {
        const { isExhausted: exhausted } = this.#listeners
        const routes = [...this.#routes.values()].map(reportOf)
        return { document: { ...this.#hello(), exhausted, routes } }
      }
      case 'retire':
        this.retire()
        return { document: { ok: true } }
      case 'listeners':
        return this.#listenersFrom(request.skip)
      case 'connections': {
        const route = this.#routes.get(request.app)
        const none: ConnectionPage = { ok: true, connections: [], next: null }
        return { document: route === undefined ? none : this.#ledger.page(route, request.after) }
      }
      case 'close': {
        const route = this.#routes.get(request.app)
        const closed = route === undefined ? 0 : this.#ledger.close(route, request.ids)
        return { document: { ok: true, closed } }
      }
      case 'watch':
        return { document: { ok: true }, isWatching: true }
    }
    return request satisfies never
  }

  #apply(apps: readonly string[], fds: readonly number[]): void {
    if (fds.length !== apps.length) {
      for (const fd of fds) close(fd)
      throw new Error(`${fds.length} sockets came for ${apps.length} names`)
    }
    const refused: string[] = []
    for (const [index, app] of apps.entries()) {
      const fd = fds[index] ?? -1
      try {
        this.giveListener(app, fd)
      } catch (error) {
        close(fd)
        refused.push(`${app}: ${describeError(error)}`)
      }
    }
    this.applyRoutes()
    if (refused.length > 0) throw new Error(`Sockets refused: ${refused.join(', ')}`)
  }

  #listenersFrom(skip: number): Answer {
    const all = [...this.#routes.values()].flatMap(({ app, listener }) =>
      listener === null ? [] : [{ app, fd: listener.fd }],
    )
    const part = all.slice(skip, skip + LISTENERS_PER_MESSAGE)
    const more = skip + part.length < all.length
    return {
      document: { ok: true, listeners: part.map(({ app }) => app), more },
      fds: part.map(({ fd }) => fd),
    }
  }

  #hello(): Hello {
    const { build, generation } = this.#options
    return { ok: true, build, generation, pid: process.pid, state: this.#isRetiring ? 'retiring' : 'serving' }
  }

  #removeRoute(route: RelayRoute): void {
    this.#upstreams.dropHeld(route)
    route.undefine()
    if (route.wasDefined) this.#listeners.close(route)
    if (route.isIdle && route.listener === null) this.#routes.delete(route.app)
  }

  #routeFor(app: string): RelayRoute {
    const known = this.#routes.get(app)
    if (known !== undefined) return known
    const route = new RelayRoute(this.#routeById.length, app)
    this.#routeById.push(route)
    this.#routes.set(app, route)
    return route
  }

  #unknownRoute(): never {
    throw new Error('A socket belongs to no route')
  }
}

function reportOf(route: RelayRoute): RelayRouteReport {
  const { app, listener, definition, blue, green, held, timedOut, accepted } = route
  return {
    app,
    listening: listener?.address ?? null,
    routed: definition !== null,
    target: definition?.target ?? null,
    paused: definition?.paused ?? false,
    connections: { blue, green },
    held: held.size,
    timedOut,
    accepted,
  }
}
