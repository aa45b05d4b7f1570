import { constants } from 'node:os'
import koffi from 'koffi'
import { check } from '../../platform/libc.ts'
import type { Logger } from '../../platform/log.ts'
import { CONNECTED, type ConnectionTable, IS_CLIENT } from './connection-table.ts'
import { type Epoll, EPOLLIN } from './epoll.ts'
import type { RelayRoute } from './relay-route.ts'
import { localAddress } from './socket-address.ts'
import {
  accept4,
  close,
  F_GETFL,
  F_SETFL,
  fcntl,
  getrlimit,
  IPPROTO_TCP,
  O_NONBLOCK,
  RLIMIT_NOFILE,
  setrlimit,
  setsockopt,
  SO_KEEPALIVE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
} from './system-calls.ts'
import { TAG } from './tags.ts'
import { CONNECTION_EVENTS, type Upstreams } from './upstreams.ts'

const { EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM } = constants.errno

const ACCEPT_BATCH = 64
/** Left free for the control socket, the routes file and the runtime: a relay full of clients must still obey. */
const RESERVED_FDS = 64
/** Accepting starts again when so many sockets have closed, and not for each single one. */
const RESUME_AFTER = 16
const RESUME_AFTER_MS = 1000
/** At the limit it may stop and go on many times a second; it says so no more often than this. */
const SAY_EVERY_MS = 10_000

/**
 * A client whose host lost power is noticed after 60 + 5 × 15 s. Sockets to slots need none of it: on one host the
 * kernel ends both sides.
 */
const INHERITED_OPTIONS = [
  [IPPROTO_TCP, TCP_NODELAY, 1],
  [SOL_SOCKET, SO_KEEPALIVE, 1],
  [IPPROTO_TCP, TCP_KEEPIDLE, 60],
  [IPPROTO_TCP, TCP_KEEPINTVL, 15],
  [IPPROTO_TCP, TCP_KEEPCNT, 5],
] as const

/** The public sockets. Each is level-triggered in the epoll set while its route is known and fds are left. */
export class Listeners {
  readonly #table: ConnectionTable
  readonly #epoll: Epoll
  readonly #upstreams: Upstreams
  readonly #log: Logger
  readonly #routeByFd = new Map<number, RelayRoute>()
  readonly #polled = new Set<number>()
  readonly #lastFd: number
  #saidAtMs = Number.NEGATIVE_INFINITY
  /** Connections, of all routes. */
  accepted = 0
  /** Set while nothing is accepted for want of fds. */
  #exhausted: { readonly resumeAtCount: number; readonly resumeAtMs: number } | null = null

  constructor(parts: { table: ConnectionTable; epoll: Epoll; upstreams: Upstreams; log: Logger }) {
    this.#table = parts.table
    this.#epoll = parts.epoll
    this.#upstreams = parts.upstreams
    this.#log = parts.log
    const limit = raiseFdLimit()
    this.#lastFd = limit - Math.min(RESERVED_FDS, Math.floor(limit / 4))
  }

  /** True while connections wait in the kernel because this process has no fd left for them. */
  get isExhausted(): boolean {
    return this.#exhausted !== null
  }

  waitMs(now: number): number {
    const resumeAtMs = this.#exhausted?.resumeAtMs ?? Number.POSITIVE_INFINITY
    return Number.isFinite(resumeAtMs) ? Math.max(0, resumeAtMs - now) : -1
  }

  /** Takes `fd` over. A socket that the route had before is closed. */
  give(route: RelayRoute, fd: number): void {
    const address = localAddress(fd)
    if (address === null) throw new TypeError('Not an IPv4 or IPv6 socket')
    for (const [level, name, value] of INHERITED_OPTIONS) {
      const bytes = Buffer.from(new Int32Array([value]).buffer)
      check('setsockopt', setsockopt(fd, level, name, bytes, bytes.length) as number)
    }
    const flags = check('fcntl', fcntl(fd, F_GETFL, 0) as number)
    check('fcntl', fcntl(fd, F_SETFL, flags | O_NONBLOCK) as number)
    this.close(route)
    route.listener = { fd, address }
    this.#routeByFd.set(fd, route)
    this.refresh(route)
  }

  /** Accepts if the route is defined; otherwise its clients wait in the kernel's queue. */
  refresh(route: RelayRoute): void {
    const { listener } = route
    if (listener === null) return
    const isWanted = route.definition !== null && this.#exhausted === null
    if (isWanted === this.#polled.has(listener.fd)) return
    if (isWanted) {
      this.#epoll.add(listener.fd, EPOLLIN, TAG.listener)
      this.#polled.add(listener.fd)
    } else this.#unpoll(listener.fd)
  }

  close(route: RelayRoute): void {
    const { listener } = route
    if (listener === null) return
    this.#unpoll(listener.fd)
    this.#routeByFd.delete(listener.fd)
    close(listener.fd)
    route.listener = null
  }

  accept(listenerFd: number, now: number): void {
    const route = this.#routeByFd.get(listenerFd)
    if (route === undefined) return
    for (let count = 0; count < ACCEPT_BATCH && this.#exhausted === null; count++) {
      const client = accept4(listenerFd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC) as number
      if (client >= 0) {
        this.#admit(client, route, now)
        continue
      }
      const errno = koffi.errno()
      if (errno === EAGAIN) return
      if (errno === EMFILE || errno === ENFILE || errno === ENOBUFS || errno === ENOMEM)
        this.#stop(now, now + RESUME_AFTER_MS)
      // Any other failure is that one connection's own (accept(2): treat like EAGAIN and go on).
    }
  }

  /** Called after sockets were closed and when `waitMs` is over. */
  resume(now: number): void {
    if (this.#exhausted === null) return
    const { resumeAtCount, resumeAtMs } = this.#exhausted
    if (this.#table.count > resumeAtCount && now < resumeAtMs) return
    this.#exhausted = null
    for (const route of this.#routeByFd.values()) this.refresh(route)
  }

  #admit(client: number, route: RelayRoute, now: number): void {
    route.accepted++
    this.accepted++
    this.#table.open(client, IS_CLIENT | CONNECTED, route.id, now)
    this.#epoll.add(client, CONNECTION_EVENTS, TAG.connection)
    this.#upstreams.admit(client, route)
    if (client >= this.#lastFd) this.#stop(now, Number.POSITIVE_INFINITY)
  }

  #stop(now: number, resumeAtMs: number): void {
    this.#exhausted = { resumeAtCount: Math.max(0, this.#table.count - RESUME_AFTER), resumeAtMs }
    for (const route of this.#routeByFd.values()) this.refresh(route)
    if (now - this.#saidAtMs < SAY_EVERY_MS) return
    this.#saidAtMs = now
    this.#log.warn('out of file descriptors, new connections wait', { sockets: this.#table.count })
  }

  #unpoll(fd: number): void {
    if (!this.#polled.delete(fd)) return
    this.#epoll.remove(fd)
  }
}

/** Two fds a connection: as many as the hard limit allows. Returns the limit. */
function raiseFdLimit(): number {
  const limit = Buffer.alloc(16)
  check('getrlimit', getrlimit(RLIMIT_NOFILE, limit) as number)
  limit.copy(limit, 0, 8, 16)
  check('setrlimit', setrlimit(RLIMIT_NOFILE, limit) as number)
  return Number(limit.readBigUInt64LE(0))
}
