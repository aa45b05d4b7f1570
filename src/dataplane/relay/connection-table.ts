/** What is known of a socket, one bit each. A connection is two sockets: the client's and, once there is one, the slot's. */
export const OPEN = 1
export const IS_CLIENT = 2
export const CONNECTED = 4
/** Its FIN is in the receive queue (EPOLLRDHUP): nothing comes after what is there. */
export const FIN_QUEUED = 8
/** Its end of stream was read and passed on. */
export const ENDED = 16
/** Bytes wait in user space until it can take them; its peer is not read meanwhile. */
export const BLOCKED = 32
/** There may be something to read. Edge-triggered: only a read that falls short may clear it. */
export const READY = 64
/** Urgent data make a read fall short although more is queued (tcp_recvmsg), so it is no sign of an empty queue. */
export const URGENT = 128
/** Counted as a connection of its slot. */
export const COUNTED = 256
export const IS_GREEN = 512
/** Waits in its route's queue for a target that listens. */
export const HELD = 1024

export const NO_PEER = -1

const FIRST_SIZE = 1024

/**
 * State of every socket, in arrays indexed by its fd: some 30 bytes a socket, and no object per connection for the
 * garbage collector to walk.
 */
export class ConnectionTable {
  flags = new Int32Array(FIRST_SIZE)
  peer = new Int32Array(FIRST_SIZE)
  /** The id of the RelayRoute that accepted it. */
  route = new Int32Array(FIRST_SIZE)
  /** When the client was accepted: milliseconds of CLOCK_MONOTONIC. */
  since = new Float64Array(FIRST_SIZE)
  /** Bytes received from it. */
  bytes = new Float64Array(FIRST_SIZE)
  /** Sockets that are open. */
  count = 0

  open(fd: number, flags: number, route: number, since: number): void {
    if (fd >= this.flags.length) this.#grow(fd)
    this.flags[fd] = OPEN | flags
    this.peer[fd] = NO_PEER
    this.route[fd] = route
    this.since[fd] = since
    this.bytes[fd] = 0
    this.count++
  }

  /** From now on events of this fd mean nothing. */
  forget(fd: number): void {
    this.flags[fd] = 0
    this.peer[fd] = NO_PEER
    this.count--
  }

  pair(client: number, upstream: number): void {
    this.peer[client] = upstream
    this.peer[upstream] = client
  }

  flagsOf(fd: number): number {
    return this.flags[fd] ?? 0
  }

  peerOf(fd: number): number {
    return this.peer[fd] ?? NO_PEER
  }

  routeOf(fd: number): number {
    return this.route[fd] ?? 0
  }

  sinceOf(fd: number): number {
    return this.since[fd] ?? 0
  }

  set(fd: number, bits: number): void {
    this.flags[fd] = (this.flags[fd] ?? 0) | bits
  }

  clear(fd: number, bits: number): void {
    this.flags[fd] = (this.flags[fd] ?? 0) & ~bits
  }

  /** Every open socket whose flags under `mask` are `wanted`; a walk over all fds, for rare occasions. */
  *matching(mask: number, wanted: number): Generator<number> {
    for (let fd = 0; fd < this.flags.length; fd++)
      if ((this.flagsOf(fd) & (OPEN | mask)) === (OPEN | wanted)) yield fd
  }

  #grow(fd: number): void {
    const size = 2 ** Math.ceil(Math.log2(fd + 1))
    const wider = <T extends Int32Array | Float64Array>(old: T, made: T): T => {
      made.set(old)
      return made
    }
    this.flags = wider(this.flags, new Int32Array(size))
    this.peer = wider(this.peer, new Int32Array(size))
    this.route = wider(this.route, new Int32Array(size))
    this.since = wider(this.since, new Float64Array(size))
    this.bytes = wider(this.bytes, new Float64Array(size))
  }
}
