import { constants } from 'node:os'
import koffi from 'koffi'
import {
  BLOCKED,
  CONNECTED,
  type ConnectionTable,
  ENDED,
  FIN_QUEUED,
  NO_PEER,
  READY,
  URGENT,
} from './connection-table.ts'
import {
  close,
  MSG_MORE,
  MSG_NOSIGNAL,
  recv,
  send,
  setsockopt,
  SHUT_WR,
  shutdown,
  SO_LINGER,
  SOL_SOCKET,
} from './system-calls.ts'

const { EAGAIN, EINTR } = constants.errno

const BUFFER_BYTES = 64 * 1024
/** A leftover up to this size is copied out; a larger one takes the whole buffer with it. */
const COPY_BYTES = 16 * 1024
/** With more than this waiting for slow readers, reads shrink so that each further one costs at most COPY_BYTES. */
const WAITING_BUDGET_BYTES = 32 * 1024 * 1024
const SPARE_BUFFERS = 16
/** A fast sender yields to the others after so many buffers. */
const ROUNDS_PER_TURN = 16

/** l_onoff 1, l_linger 0: close() sends RST and drops what is unsent (socket(7)). */
const RESET_ON_CLOSE = Buffer.from(new Int32Array([1, 0]).buffer)

interface Leftover {
  readonly memory: Buffer<ArrayBuffer>
  readonly address: number
  from: number
  readonly to: number
}

/**
 * Copies bytes between the two sockets of a connection. Invariants:
 * - a socket is read only while its peer is CONNECTED and not BLOCKED, so at most one buffer waits per direction;
 * - READY is cleared only by a read that emptied the queue, because an edge is reported once;
 * - fds are closed at the end of a turn (`closeEnded`), so that an event fetched together with the one that ended
 *   the connection can not hit a new socket of the same number.
 */
export class Streams {
  readonly #table: ConnectionTable
  readonly #onEnd: (fd: number) => void
  readonly #leftovers = new Map<number, Leftover>()
  readonly #spare: Buffer<ArrayBuffer>[] = []
  #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #address = Number(koffi.address(this.#buffer))
  #readBytes = BUFFER_BYTES
  #waitingBytes = 0
  #unfinished: number[] = []
  #toClose: number[] = []

  /** `onEnd` is told each socket that is given up, while its row in the table is still there. */
  constructor(table: ConnectionTable, onEnd: (fd: number) => void) {
    this.#table = table
    this.#onEnd = onEnd
  }

  /** Some senders were interrupted to let others have their turn. */
  get hasUnfinished(): boolean {
    return this.#unfinished.length > 0
  }

  continueUnfinished(): void {
    const fds = this.#unfinished
    this.#unfinished = []
    for (const fd of fds) this.pump(fd)
  }

  /** Moves what `source` has sent to its peer, until there is no more or the peer takes no more. */
  pump(source: number): void {
    const { flags } = this.#table
    const sink = this.#table.peerOf(source)
    if (sink === NO_PEER) return
    for (let round = 0; round < ROUNDS_PER_TURN; round++) {
      const state = flags[source] ?? 0
      if ((state & (READY | ENDED)) !== READY) return
      if (((flags[sink] ?? 0) & (CONNECTED | BLOCKED)) !== CONNECTED) return
      const length = recv(source, this.#address, this.#readBytes, 0) as number
      if (length > 0) {
        const isEmptied = length < this.#readBytes && (state & URGENT) === 0
        const isLast = isEmptied && (state & FIN_QUEUED) !== 0
        if (isEmptied) flags[source] = state & ~READY
        this.#table.bytes[source] = (this.#table.bytes[source] ?? 0) + length
        if (!this.#deliver(sink, length, isLast)) return
        if (isLast) this.#end(source)
      } else if (length === 0) this.#end(source)
      else if (!this.#mayRetryRead(source)) return
    }
    this.#unfinished.push(source)
  }

  /** Called when a BLOCKED socket takes bytes again. */
  flush(sink: number): void {
    const leftover = this.#leftovers.get(sink)
    if (leftover === undefined) return
    const sent = this.#send(sink, leftover.address + leftover.from, leftover.to - leftover.from, 0)
    if (sent < 0) return
    leftover.from += sent
    this.#waitingBytes -= sent
    if (leftover.from < leftover.to) return
    this.#dropLeftover(sink, leftover)
    this.#table.clear(sink, BLOCKED)
    const source = this.#table.peerOf(sink)
    if ((this.#table.flagsOf(source) & ENDED) !== 0) this.#finish(sink)
    else this.pump(source)
  }

  /**
   * Ends a connection because of a failure of `fd`: the peer gets what `fd` had sent before, then a reset. An orderly
   * end here would make a truncated stream look complete.
   */
  reset(fd: number): void {
    const peer = this.#table.peerOf(fd)
    if (peer !== NO_PEER) {
      if ((this.#table.flagsOf(peer) & (CONNECTED | BLOCKED)) === CONNECTED) this.#drain(fd, peer)
      setsockopt(peer, SOL_SOCKET, SO_LINGER, RESET_ON_CLOSE, RESET_ON_CLOSE.length)
      this.#giveUp(peer)
    }
    setsockopt(fd, SOL_SOCKET, SO_LINGER, RESET_ON_CLOSE, RESET_ON_CLOSE.length)
    this.#giveUp(fd)
  }

  /** Gives one socket up, without a word to its peer. */
  abandon(fd: number): void {
    this.#giveUp(fd)
  }

  /** Closes what ended in this turn; true if there was any. */
  closeEnded(): boolean {
    if (this.#toClose.length === 0) return false
    for (const fd of this.#toClose) close(fd)
    this.#toClose.length = 0
    return true
  }

  /** False if the connection was given up. */
  #deliver(sink: number, length: number, isLast: boolean): boolean {
    // MSG_MORE keeps the last bytes until shutdown() sends them and the FIN as one segment: one wake-up of the peer.
    const sent = this.#send(sink, this.#address, length, isLast ? MSG_MORE : 0)
    if (sent < 0) return false
    if (sent < length) this.#keep(sink, sent, length)
    return true
  }

  /** The bytes that `sink` took, 0 if it takes none now, -1 if it failed and was given up. */
  #send(sink: number, address: number, length: number, flags: number): number {
    const sent = send(sink, address, length, flags | MSG_NOSIGNAL) as number
    if (sent >= 0) return sent
    const errno = koffi.errno()
    if (errno === EAGAIN || errno === EINTR) return 0
    this.reset(sink)
    return -1
  }

  #mayRetryRead(source: number): boolean {
    const errno = koffi.errno()
    if (errno === EINTR) return true
    if (errno === EAGAIN) this.#table.clear(source, READY | URGENT)
    else this.reset(source)
    return false
  }

  #end(source: number): void {
    this.#table.set(source, ENDED)
    this.#table.clear(source, READY)
    const sink = this.#table.peerOf(source)
    if ((this.#table.flagsOf(sink) & BLOCKED) === 0) this.#finish(sink)
  }

  /** All that the peer sent has been handed to `sink`: pass the end of stream on, and if both have ended, close. */
  #finish(sink: number): void {
    const source = this.#table.peerOf(sink)
    const isOver = (this.#table.flagsOf(sink) & ENDED) !== 0 && (this.#table.flagsOf(source) & BLOCKED) === 0
    if (!isOver) {
      // Fails only with ENOTCONN, after a reset, and then EPOLLERR tells.
      shutdown(sink, SHUT_WR)
      return
    }
    this.#giveUp(source)
    this.#giveUp(sink)
  }

  #drain(from: number, to: number): void {
    for (let round = 0; round < ROUNDS_PER_TURN; round++) {
      const length = recv(from, this.#address, BUFFER_BYTES, 0) as number
      if (length <= 0) return
      if ((send(to, this.#address, length, MSG_NOSIGNAL) as number) < length) return
    }
  }

  #giveUp(fd: number): void {
    const leftover = this.#leftovers.get(fd)
    if (leftover !== undefined) {
      this.#waitingBytes -= leftover.to - leftover.from
      this.#dropLeftover(fd, leftover)
    }
    this.#onEnd(fd)
    this.#table.forget(fd)
    this.#toClose.push(fd)
  }

  #keep(sink: number, from: number, to: number): void {
    this.#table.set(sink, BLOCKED)
    this.#waitingBytes += to - from
    if (to - from <= COPY_BYTES) {
      const memory = Buffer.allocUnsafeSlow(to - from)
      this.#buffer.copy(memory, 0, from, to)
      this.#leftovers.set(sink, { memory, address: Number(koffi.address(memory)), from: 0, to: to - from })
    } else {
      this.#leftovers.set(sink, { memory: this.#buffer, address: this.#address, from, to })
      this.#buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
      this.#address = Number(koffi.address(this.#buffer))
    }
    if (this.#waitingBytes > WAITING_BUDGET_BYTES) this.#readBytes = COPY_BYTES
  }

  #dropLeftover(sink: number, leftover: Leftover): void {
    this.#leftovers.delete(sink)
    if (leftover.memory.length === BUFFER_BYTES && this.#spare.length < SPARE_BUFFERS)
      this.#spare.push(leftover.memory)
    if (this.#waitingBytes < WAITING_BUDGET_BYTES) this.#readBytes = BUFFER_BYTES
  }
}
