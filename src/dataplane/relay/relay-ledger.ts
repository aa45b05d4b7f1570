import { check } from '../../platform/libc.ts'
import { type ConnectionTable, COUNTED, IS_GREEN } from './connection-table.ts'
import { CONNECTIONS_PER_MESSAGE, type ConnectionPage, type RelayedConnection } from './control-protocol.ts'
import type { RelayRoute } from './relay-route.ts'
import { decodeSocketAddress, localAddress, unmapped } from './socket-address.ts'
import type { Streams } from './streams.ts'
import { getpeername } from './system-calls.ts'

/** The connections of one relay process, read from its table: a walk over all fds, for whoever asks. */
export class RelayLedger {
  readonly #table: ConnectionTable
  readonly #streams: Streams

  constructor(table: ConnectionTable, streams: Streams) {
    this.#table = table
    this.#streams = streams
  }

  /** The connections that `route` has with slots, from fd `after` on: what one message holds. */
  page(route: RelayRoute, after: number): ConnectionPage {
    const connections: RelayedConnection[] = []
    let next: number | null = null
    for (const upstream of this.#upstreamsOf(route)) {
      if (upstream <= after) continue
      if (connections.length === CONNECTIONS_PER_MESSAGE) {
        next = upstream - 1
        break
      }
      const described = this.#describe(upstream)
      if (described !== null) connections.push(described)
    }
    return { ok: true, connections, next }
  }

  /** Resets those of the route's connections that are named; returns how many were there. */
  close(route: RelayRoute, ids: readonly string[]): number {
    const wanted = new Set(ids)
    const found = this.#upstreamsOf(route).filter((upstream) => wanted.has(this.#idOf(upstream)))
    for (const upstream of found) this.#streams.reset(upstream)
    return found.length
  }

  #upstreamsOf(route: RelayRoute): number[] {
    return [...this.#table.matching(COUNTED, COUNTED)].filter((fd) => this.#table.routeOf(fd) === route.id)
  }

  /** An fd is used again; the moment at which its client was accepted makes it one connection. */
  #idOf(upstream: number): string {
    return `${upstream}-${this.#table.sinceOf(this.#table.peerOf(upstream))}`
  }

  /** null if the client's end is gone already. */
  #describe(upstream: number): RelayedConnection | null {
    const client = this.#table.peerOf(upstream)
    const peer = peerAddress(client)
    if (peer === null) return null
    return {
      id: this.#idOf(upstream),
      slot: (this.#table.flagsOf(upstream) & IS_GREEN) === 0 ? 'blue' : 'green',
      peer,
      ageMs: Math.round(performance.now() - this.#table.sinceOf(client)),
      bytesIn: this.#table.bytes[client] ?? 0,
      bytesOut: this.#table.bytes[upstream] ?? 0,
      upstreamPort: localAddress(upstream)?.port ?? 0,
    }
  }
}

function peerAddress(fd: number): { host: string; port: number } | null {
  const address = Buffer.alloc(128)
  const length = Buffer.alloc(4)
  length.writeInt32LE(address.length)
  try {
    check('getpeername', getpeername(fd, address, length) as number)
  } catch {
    // ENOTCONN: it was reset, and its event is still to come.
    return null
  }
  const found = decodeSocketAddress(address)
  return found === null ? null : { ...found, host: unmapped(found.host) }
}
