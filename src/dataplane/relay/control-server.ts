import { renameSync, rmSync } from 'node:fs'
import { constants } from 'node:os'
import koffi from 'koffi'
import { describeError } from '../../core/errors.ts'
import { receiveWithFds, sendWithFds } from '../../platform/fd-passing.ts'
import { check } from '../../platform/libc.ts'
import { type ControlRequest, MAX_REQUEST_BYTES, parseRequest } from './control-protocol.ts'
import { type Epoll, EPOLLIN, EPOLLOUT } from './epoll.ts'
import { addressOf, encodeUnixAddress } from './socket-address.ts'
import {
  accept4,
  AF_UNIX,
  bind,
  close,
  connect,
  listen,
  MSG_NOSIGNAL,
  send,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
} from './system-calls.ts'
import { TAG } from './tags.ts'

const { EAGAIN } = constants.errno

/** The daemon has one or two connections; more than this are strangers. */
const MAX_PEERS = 16
/** A peer that does not read its answers is dropped. */
const MAX_UNSENT_BYTES = 8 * 1024 * 1024

export interface Answer {
  readonly document: unknown
  /** Copies travel with the answer. */
  readonly fds?: readonly number[]
  /** From now on the peer is told events, too. */
  readonly isWatching?: boolean
}

/** Takes over the fds that it is given; throws to refuse. */
export type Answerer = (request: ControlRequest, fds: readonly number[]) => Answer

interface Peer {
  received: Buffer
  /** Fds that came and that no request has claimed yet. */
  fds: number[]
  unsent: Buffer
  isWatching: boolean
}

/** The relay's ear for the daemon: a unix socket (0600) inside the relay's own epoll set. */
export class ControlServer {
  readonly #epoll: Epoll
  readonly #answer: Answerer
  readonly #fd: number
  readonly #path: string
  readonly #peers = new Map<number, Peer>()
  #watchers = 0
  readonly #chunk = Buffer.allocUnsafeSlow(MAX_REQUEST_BYTES)

  /** Throws if another process serves `path`; a socket that nobody serves any more is replaced. */
  constructor(path: string, epoll: Epoll, answer: Answerer) {
    this.#epoll = epoll
    this.#answer = answer
    this.#path = path
    this.#fd = listenOn(path)
    epoll.add(this.#fd, EPOLLIN, TAG.control)
  }

  onEvent(fd: number, events: number): void {
    if (fd === this.#fd) return this.#accept()
    const peer = this.#peers.get(fd)
    if (peer === undefined) return
    try {
      if ((events & EPOLLOUT) !== 0) this.#flush(fd, peer)
      if ((events & ~EPOLLOUT) !== 0) this.#receive(fd, peer)
    } catch {
      // Whatever a peer does wrong costs it its connection, and nothing else.
      this.#drop(fd)
    }
  }

  get isWatched(): boolean {
    return this.#watchers > 0
  }

  /** A line that answers nothing. A watcher that does not read misses it, and is dropped once too much waits. */
  tellWatchers(event: unknown): void {
    for (const [fd, peer] of this.#peers) if (peer.isWatching) this.#reply(fd, peer, { document: event })
  }

  /** Ends the connections of all who are connected; they may come back. */
  hangUp(): void {
    for (const fd of this.#peers.keys()) this.#drop(fd)
  }

  close(): void {
    this.hangUp()
    close(this.#fd)
    rmSync(this.#path, { force: true })
  }

  #accept(): void {
    const fd = accept4(this.#fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC) as number
    if (fd < 0) return
    if (this.#peers.size >= MAX_PEERS) {
      close(fd)
      return
    }
    this.#peers.set(fd, {
      received: Buffer.alloc(0),
      fds: [],
      unsent: Buffer.alloc(0),
      isWatching: false,
    })
    this.#epoll.add(fd, EPOLLIN, TAG.control)
  }

  #receive(fd: number, peer: Peer): void {
    const { length, fds } = receiveWithFds(fd, this.#chunk)
    peer.fds.push(...fds)
    if (length === null) return
    if (length === 0) return this.#drop(fd)
    peer.received = Buffer.concat([peer.received, this.#chunk.subarray(0, length)])
    for (let end = peer.received.indexOf('\n'); end >= 0; end = peer.received.indexOf('\n')) {
      const line = peer.received.toString('utf8', 0, end)
      peer.received = peer.received.subarray(end + 1)
      this.#reply(fd, peer, this.#serve(peer, line))
    }
    if (peer.received.length > MAX_REQUEST_BYTES || peer.unsent.length > MAX_UNSENT_BYTES) this.#drop(fd)
  }

  #serve(peer: Peer, line: string): Answer {
    let unclaimed = peer.fds
    try {
      const request = parseRequest(line)
      const fds = request.do === 'apply' ? peer.fds.splice(0, request.listeners.length) : []
      unclaimed = []
      return this.#answer(request, fds)
    } catch (error) {
      for (const fd of unclaimed.splice(0)) close(fd)
      return { document: { ok: false, error: describeError(error) } }
    }
  }

  #reply(fd: number, peer: Peer, { document, fds = [], isWatching = false }: Answer): void {
    if (isWatching && !peer.isWatching) {
      peer.isWatching = true
      this.#watchers++
    }
    const line = Buffer.from(`${JSON.stringify(document)}\n`)
    const sent = fds.length > 0 && peer.unsent.length === 0 ? sendWithFds(fd, line, fds) : 0
    peer.unsent = Buffer.concat([peer.unsent, line.subarray(sent)])
    this.#flush(fd, peer)
  }

  #flush(fd: number, peer: Peer): void {
    if (peer.unsent.length === 0) return
    const address = addressOf(peer.unsent)
    const sent = send(fd, address, peer.unsent.length, MSG_NOSIGNAL) as number
    if (sent < 0 && koffi.errno() !== EAGAIN) return this.#drop(fd)
    if (sent > 0) peer.unsent = peer.unsent.subarray(sent)
    this.#epoll.modify(fd, peer.unsent.length > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN, TAG.control)
  }

  #drop(fd: number): void {
    const peer = this.#peers.get(fd)
    if (peer === undefined) return
    this.#peers.delete(fd)
    if (peer.isWatching) this.#watchers--
    for (const unclaimed of peer.fds) close(unclaimed)
    close(fd)
  }
}

function listenOn(path: string): number {
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
  const fd = check('socket', socket(AF_UNIX, type, 0) as number)
  const served = encodeUnixAddress(path)
  if (connect(fd, addressOf(served), served.length) === 0) throw new Error(`Another relay serves "${path}"`)
  // Listening before it has its name: a socket file that refuses is then always one that nobody serves any more.
  const unnamed = `${path}.new`
  rmSync(unnamed, { force: true })
  const address = encodeUnixAddress(unnamed)
  const umask = process.umask(0o177)
  check('bind', bind(fd, address, address.length) as number)
  process.umask(umask)
  check('listen', listen(fd, MAX_PEERS) as number)
  renameSync(unnamed, path)
  return fd
}
