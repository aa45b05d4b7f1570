import type { Slot, Target } from '../../core/app.ts'
import type { ListenAddress } from '../../core/definition.ts'
import { isRecord } from './routes-file.ts'

/**
 * What a relay is told over its control socket: one JSON document a line each way, answers in the order of the
 * requests. Fds travel with the first byte of the line that names them.
 *
 *   {"do":"hello"}                          → Hello
 *   {"do":"apply","listeners":["web",…]}    → {"ok":true}   reads the routes file again; with one fd for each name
 *   {"do":"report"}                         → Report
 *   {"do":"retire"}                         → {"ok":true}   accepts no more, exits when its last connection ends
 *   {"do":"listeners","skip":0}             → {"ok":true,"listeners":["web",…],"more":false}, with one fd for each name
 *   {"do":"connections","app":"web","after":-1} → ConnectionPage; `next` is the `after` of the next page
 *   {"do":"close","app":"web","ids":["7-12.5",…]} → {"ok":true,"closed":1}
 *   {"do":"watch"}                          → {"ok":true}   and from then on, between answers, lines like
 *                                              {"event":"arrival","apps":["web"]} after connections were accepted
 *
 * A request that can not be done is answered with {"ok":false,"error":"…"} and changes nothing.
 */
export type ControlRequest =
  | { readonly do: 'hello' }
  | { readonly do: 'apply'; readonly listeners: readonly string[] }
  | { readonly do: 'report' }
  | { readonly do: 'retire' }
  | { readonly do: 'listeners'; readonly skip: number }
  | { readonly do: 'connections'; readonly app: string; readonly after: number }
  | { readonly do: 'close'; readonly app: string; readonly ids: readonly string[] }
  | { readonly do: 'watch' }

export interface Hello {
  readonly ok: true
  readonly build: string
  readonly generation: number
  readonly pid: number
  /** `retiring`: accepts no more and lives on for its last connections. */
  readonly state: 'serving' | 'retiring'
}

export interface Report extends Hello {
  /** Out of file descriptors: new connections wait in the kernel. */
  readonly exhausted: boolean
  readonly routes: readonly RelayRouteReport[]
}

export interface RelayRouteReport {
  readonly app: string
  /** The address of the listening socket that it holds. */
  readonly listening: ListenAddress | null
  /** Whether a route is in force; without one its clients wait in the kernel. */
  readonly routed: boolean
  readonly target: Target | null
  readonly paused: boolean
  readonly connections: Readonly<Record<Slot, number>>
  readonly held: number
  readonly timedOut: number
  readonly accepted: number
}

export interface ConnectionPage {
  readonly ok: true
  readonly connections: readonly RelayedConnection[]
  /** null: that was the last page. */
  readonly next: number | null
}

export interface RelayedConnection {
  /** Unique within the process for as long as it runs. */
  readonly id: string
  readonly slot: Slot
  readonly peer: ListenAddress
  readonly ageMs: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** The relay's own port towards the slot: the slot's end of the connection is known by it. */
  readonly upstreamPort: number
}

export const CONNECTIONS_PER_MESSAGE = 1_000

/** Ids of one `close` message, so that it stays below MAX_REQUEST_BYTES. */
export const IDS_PER_MESSAGE = 1_000

/** At most this many bytes a request; an apply with 250 names of 48 characters fits easily. */
export const MAX_REQUEST_BYTES = 64 * 1024

/** Fds in one message; below the kernel's SCM_MAX_FD. */
export const LISTENERS_PER_MESSAGE = 200

export function parseRequest(line: string): ControlRequest {
  const request: unknown = JSON.parse(line)
  if (!isRecord(request)) throw new Error('The request is not an object')
  switch (request['do']) {
    case 'hello':
    case 'report':
    case 'retire':
    case 'watch':
      return { do: request['do'] }
    case 'apply': {
      const listeners = request['listeners'] ?? []
      if (!Array.isArray(listeners) || !listeners.every((name) => typeof name === 'string'))
        throw new Error('"listeners" is not a list of names')
      return { do: 'apply', listeners }
    }
    case 'listeners': {
      const skip = request['skip'] ?? 0
      if (typeof skip !== 'number') throw new Error('"skip" is not a number')
      return { do: 'listeners', skip }
    }
    case 'connections': {
      const { app, after = -1 } = request
      if (typeof app !== 'string' || typeof after !== 'number') throw new Error('"app" or "after" is amiss')
      return { do: 'connections', app, after }
    }
    case 'close': {
      const { app, ids } = request
      if (typeof app !== 'string' || !Array.isArray(ids) || !ids.every((id) => typeof id === 'string'))
        throw new Error('"app" or "ids" is amiss')
      return { do: 'close', app, ids }
    }
    default:
      throw new Error('"do" is none of hello, apply, report, retire, listeners, connections, close, watch')
  }
}
