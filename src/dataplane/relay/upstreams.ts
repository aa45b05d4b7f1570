import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import koffi from 'koffi'
import { hasCode } from '../../core/errors.ts'
import {
  CONNECTED,
  type ConnectionTable,
  COUNTED,
  FIN_QUEUED,
  HELD,
  IS_CLIENT,
  IS_GREEN,
  NO_PEER,
  READY,
} from './connection-table.ts'
import { type Epoll, EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP } from './epoll.ts'
import type { Destination, RelayRoute } from './relay-route.ts'
import { encodeSocketAddress, localAddress } from './socket-address.ts'
import type { Streams } from './streams.ts'
import {
  bind,
  close,
  connect,
  getsockopt,
  IP_BIND_ADDRESS_NO_PORT,
  IPPROTO_IP,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  MSG_PEEK,
  recv,
  setsockopt,
  SO_ERROR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
  SOL_SOCKET,
  TCP_NODELAY,
} from './system-calls.ts'
import { TAG } from './tags.ts'

const { EADDRNOTAVAIL, ECONNRESET, EINPROGRESS, EPIPE } = constants.errno

/** Everything that a connection needs, asked for once: one epoll_ctl per socket. */
export const CONNECTION_EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET

/** How soon the oldest held client tries again. */
const RETRY_MS = 10
/** So many held connections are let through each RETRY_MS: the shortest accept queues in use hold 50 to 128. */
const RELEASE_BATCH = 16
/** Unanswered SYNs are looked through this often. */
const SWEEP_MS = 500
/** 127.0.0.1 to 127.0.0.64: some 28,000 ports each towards one target (ip_local_port_range). */
const SOURCE_ADDRESSES = 64

const ON = Buffer.from(new Int32Array([1]).buffer)

/**
 * Connects clients to their route's target, and holds those that can not be connected now. While anybody is held,
 * newcomers queue up behind, and only the oldest tries, until it gets through.
 */
export class Upstreams {
  readonly #table: ConnectionTable
  readonly #streams: Streams
  readonly #epoll: Epoll
  readonly #routeOf: (id: number) => RelayRoute
  readonly #firstEphemeralPort = firstEphemeralPort()
  readonly #peeked = Buffer.allocUnsafeSlow(1)
  readonly #peekedAddress = Number(koffi.address(this.#peeked))
  #sourceIndex = 0
  #heldCount = 0
  #connecting = 0
  #nextRetryMs = 0
  #nextSweepMs = 0

  constructor(parts: {
    table: ConnectionTable
    streams: Streams
    epoll: Epoll
    routeOf: (id: number) => RelayRoute
  }) {
    this.#table = parts.table
    this.#streams = parts.streams
    this.#epoll = parts.epoll
    this.#routeOf = parts.routeOf
  }

  /** Milliseconds until `tick` has something to do; -1: nothing waits. */
  waitMs(now: number): number {
    if (this.#heldCount > 0) return Math.max(0, this.#nextRetryMs - now)
    return this.#connecting > 0 ? Math.max(0, this.#nextSweepMs - now) : -1
  }

  /** A newly accepted client, already in the table and in the epoll set. */
  admit(client: number, route: RelayRoute): void {
    if (!route.mayConnect || route.held.size > 0 || !this.#connect(client, route)) this.#hold(client, route)
  }

  /** An event of a socket to a slot that is not connected yet; true if now it is. */
  onConnecting(upstream: number, events: number): boolean {
    const client = this.#table.peerOf(upstream)
    const route = this.#routeOf(this.#table.routeOf(upstream))
    const errno = (events & (EPOLLERR | EPOLLHUP)) === 0 ? 0 : pendingError(upstream)
    if (errno === ECONNRESET || errno === EPIPE) {
      // It had accepted, and has reset since: that is an answer, not a reason to try again.
      this.#settle(upstream, route)
      this.#streams.reset(upstream)
      return false
    }
    if (errno !== 0 || this.#isSelfConnected(upstream, route)) {
      this.#streams.abandon(upstream)
      this.#table.peer[client] = NO_PEER
      this.#hold(client, route)
      route.isReachable = false
      return false
    }
    if ((events & EPOLLOUT) === 0) return false
    this.#settle(upstream, route)
    this.#release(client, route)
    this.#streams.pump(client)
    return (this.#table.flagsOf(upstream) & CONNECTED) !== 0
  }

  /** An event of a client without a connected peer: it may have left. */
  onWaitingClient(client: number, events: number): void {
    if ((events & EPOLLERR) !== 0) return this.#streams.reset(client)
    this.#table.set(client, READY | ((events & EPOLLRDHUP) === 0 ? 0 : FIN_QUEUED))
    if ((events & EPOLLRDHUP) === 0) return
    // With bytes before its FIN it may be a half-close that still wants its answer; without, nobody is there.
    const length = recv(client, this.#peekedAddress, 1, MSG_PEEK | MSG_DONTWAIT) as number
    if (length <= 0) this.#streams.reset(client)
  }

  /** Called for each socket that ends, before it leaves the table. */
  onEnd(fd: number): void {
    const flags = this.#table.flagsOf(fd)
    const route = this.#routeOf(this.#table.routeOf(fd))
    if ((flags & HELD) !== 0) this.#release(fd, route)
    if ((flags & (IS_CLIENT | CONNECTED)) === 0) this.#connecting--
    if ((flags & COUNTED) === 0) return
    if ((flags & IS_GREEN) === 0) route.blue--
    else route.green--
  }

  /** The route has another target, or was paused or resumed. */
  reroute(route: RelayRoute): void {
    route.isReachable = true
    this.#nextRetryMs = 0
    for (const upstream of this.#table.matching(IS_CLIENT | CONNECTED, 0)) {
      if (this.#table.routeOf(upstream) !== route.id) continue
      const client = this.#table.peerOf(upstream)
      this.#streams.abandon(upstream)
      this.#table.peer[client] = NO_PEER
      this.#hold(client, route)
    }
  }

  dropHeld(route: RelayRoute): void {
    for (const client of route.held) this.#streams.reset(client)
  }

  /** What time brings: retries, hold timeouts, connects that nobody answers. */
  tick(routes: Iterable<RelayRoute>, now: number): void {
    if (this.#connecting > 0 && now >= this.#nextSweepMs) this.#sweep(now)
    if (this.#heldCount === 0 || now < this.#nextRetryMs) return
    this.#nextRetryMs = now + RETRY_MS
    for (const route of routes) {
      this.#expire(route, now)
      if (route.mayConnect) this.#retry(route)
    }
  }

  #settle(upstream: number, route: RelayRoute): void {
    this.#connecting--
    this.#table.set(upstream, CONNECTED | COUNTED)
    if ((this.#table.flagsOf(upstream) & IS_GREEN) === 0) route.blue++
    else route.green++
    // The first to get through calls the others, who then come in batches.
    if (!route.isReachable) this.#nextRetryMs = 0
    route.isReachable = true
  }

  #retry(route: RelayRoute): void {
    let left = route.isReachable ? RELEASE_BATCH : 1
    for (const client of route.held) {
      if (left-- === 0) return
      if (this.#table.peerOf(client) === NO_PEER && !this.#connect(client, route)) {
        route.isReachable = false
        return
      }
    }
  }

  #expire(route: RelayRoute, now: number): void {
    for (const client of route.held) {
      if (now - this.#table.sinceOf(client) < route.holdTimeoutMs) return
      route.timedOut++
      this.#streams.reset(client)
    }
  }

  #sweep(now: number): void {
    this.#nextSweepMs = now + SWEEP_MS
    for (const upstream of this.#table.matching(IS_CLIENT | CONNECTED, 0)) {
      const client = this.#table.peerOf(upstream)
      const route = this.#routeOf(this.#table.routeOf(upstream))
      if ((this.#table.flagsOf(client) & HELD) !== 0) continue
      if (now - this.#table.sinceOf(client) < route.holdTimeoutMs) continue
      route.timedOut++
      this.#streams.reset(client)
    }
  }

  #hold(client: number, route: RelayRoute): void {
    if ((this.#table.flagsOf(client) & HELD) !== 0) return
    this.#table.set(client, HELD)
    route.held.add(client)
    this.#heldCount++
  }

  #release(client: number, route: RelayRoute): void {
    if ((this.#table.flagsOf(client) & HELD) === 0) return
    this.#table.clear(client, HELD)
    route.held.delete(client)
    this.#heldCount--
  }

  /** False if it can not even be tried now. */
  #connect(client: number, route: RelayRoute): boolean {
    const destination = route.destination
    if (destination === null) return false
    const upstream = this.#startConnecting(destination)
    if (upstream < 0) return false
    const green = destination.target.slot === 'green' ? IS_GREEN : 0
    this.#table.open(upstream, green, route.id, this.#table.sinceOf(client))
    this.#table.pair(client, upstream)
    this.#connecting++
    this.#epoll.add(upstream, CONNECTION_EVENTS, TAG.connection)
    return true
  }

  /** The fd of a socket that connects, or -1. */
  #startConnecting(destination: Destination): number {
    for (let attempt = 0; attempt < SOURCE_ADDRESSES; attempt++) {
      const upstream = socket(destination.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) as number
      if (upstream < 0) return -1
      // The sender's own writes decide what is worth a segment, as they would on a direct connection.
      setsockopt(upstream, IPPROTO_TCP, TCP_NODELAY, ON, ON.length)
      if (destination.isLoopback4 && this.#sourceIndex > 0) this.#bindSource(upstream)
      if (connect(upstream, destination.address, destination.memory.length) === 0) return upstream
      const errno = koffi.errno()
      if (errno === EINPROGRESS) return upstream
      close(upstream)
      if (errno !== EADDRNOTAVAIL || !destination.isLoopback4) return -1
      this.#sourceIndex = (this.#sourceIndex + 1) % SOURCE_ADDRESSES
    }
    return -1
  }

  #bindSource(upstream: number): void {
    // Without the option bind() itself would reserve a port, for all targets at once (ip(7)).
    setsockopt(upstream, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, ON, ON.length)
    const source = encodeSocketAddress({ host: `127.0.0.${this.#sourceIndex + 1}`, port: 0 })
    bind(upstream, source, source.length)
  }

  /** With nobody listening on an ephemeral port, the kernel may pick that very port as source: TCP then meets itself. */
  #isSelfConnected(upstream: number, route: RelayRoute): boolean {
    const port = route.destination?.port ?? 0
    return port >= this.#firstEphemeralPort && localAddress(upstream)?.port === port
  }
}

/** The errno that EPOLLERR stands for; reading it clears it. */
function pendingError(fd: number): number {
  const value = Buffer.alloc(4)
  const length = Buffer.from(new Int32Array([4]).buffer)
  getsockopt(fd, SOL_SOCKET, SO_ERROR, value, length)
  return value.readInt32LE(0)
}

/** 0, so that every port is checked, where a sandbox hides /proc/sys (systemd's ProcSubset=pid). */
function firstEphemeralPort(): number {
  try {
    return Number.parseInt(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'), 10)
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'EACCES')) return 0
    throw error
  }
}
