import type { Slot, Target } from '../core/app.ts'
import type { ListenAddress } from '../core/definition.ts'

/**
 * Where an app's new connections go. Two implementations: the relay (userland) and steering (kernel, over a relay).
 * Both are level-based: they are told the wanted route, and told again after a crash of either side.
 */
export interface DataPlane extends AsyncDisposable {
  readonly name: 'relay' | 'steering'
  /**
   * New connections to `route.listen` go to `route.target` from now on, in force when the promise resolves;
   * connections that are open stay where they are. Opens the listen address if it is new to this route.
   * Throws DATA_PLANE_FAILED or PORT_TAKEN.
   */
  setRoute(route: Route): Promise<void>
  /** Closes the listen address; open connections stay. Does nothing if there is no such route. */
  removeRoute(app: string): Promise<void>
  /** What is carried right now, as the plane itself reports it. */
  observe(): Promise<PlaneReport>
  /**
   * The live connections that came in through the app's listen address, whatever carries them. They are asked of the
   * kernel and of the relays, not remembered. Throws DATA_PLANE_FAILED.
   */
  connections(app: string): Promise<readonly Connection[]>
  /** Resets these connections at both ends and says how many of them it found alive. Throws DATA_PLANE_FAILED. */
  closeConnections(app: string, ids: readonly string[]): Promise<number>
  /** Has `listener` called when something took the plane's fast way from it, or gave it back. Never throws. */
  onIncident(listener: IncidentListener): void
}

export type IncidentListener = (incident: PlaneIncident) => void

/** What happened to the plane itself, whatever the app. */
export interface PlaneIncident {
  /** Lost: the relay carries everything. Restored: it was lost, or damaged, and is whole again. */
  readonly type: 'steering-lost' | 'steering-restored'
  /** What and why, as a sentence. */
  readonly message: string
}

/** A connection of a client with a slot. */
export interface Connection {
  /** Names the connection for as long as it lives, and no other of its app. */
  readonly id: string
  readonly slot: Slot
  readonly via: 'steering' | 'relay'
  readonly peer: { readonly host: string; readonly port: number }
  /** null: nobody saw it begin. */
  readonly ageMs: number | null
  /** From the client to the slot. */
  readonly bytesIn: number
  readonly bytesOut: number
  /** The slot's process at the other end; null while none has accepted it. */
  readonly process: { readonly pid: number; readonly command: string } | null
}

/** The processes of a slot's unit now: by cgroup or, embedded, by session. */
export type SlotProcesses = (app: string, slot: Slot) => Promise<readonly number[]>

export interface Route {
  /** Names the route: an app has one of this name, and perhaps one more for its preview address. */
  readonly app: string
  readonly listen: ListenAddress
  /** null: hold new connections. */
  readonly target: Target | null
  /** Hold new connections although the target may listen. */
  readonly paused: boolean
  /** A connection that waits longer than this for a listening target is closed. */
  readonly holdTimeoutMs: number
  /** Slot ports that other hosts may not connect to, if the plane can keep them out. */
  readonly guardedPorts: readonly number[]
}

export interface PlaneReport {
  readonly routes: readonly RouteReport[]
}

export interface RouteReport {
  readonly app: string
  readonly listen: ListenAddress
  readonly target: Target | null
  readonly paused: boolean
  readonly guardedPorts: readonly number[]
  /** What carries new connections. */
  readonly via: 'steering' | 'relay'
  /** Why the relay carries them, or some of them, where steering was to; null if there is nothing to explain. */
  readonly reason: string | null
  /** Open connections by the slot that they were given to, over all generations of the plane. */
  readonly connections: Readonly<Record<Slot, number>>
  /** New connections that wait for a listening target. */
  readonly held: number
  /** Connections closed because nothing listened until the hold timeout, since the plane started. */
  readonly timedOut: number
}
