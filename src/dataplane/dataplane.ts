import type { Slot, Target } from '../core/app.ts'
import type { ListenAddress } from '../core/definition.ts'

/**
 * Where an app's new connections go. Two implementations: the relay (userland) and, later, steering (kernel).
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
}

export interface Route {
  readonly app: string
  readonly listen: ListenAddress
  /** null: hold new connections. */
  readonly target: Target | null
  /** Hold new connections although the target may listen. */
  readonly paused: boolean
  /** A connection that waits longer than this for a listening target is closed. */
  readonly holdTimeoutMs: number
}

export interface PlaneReport {
  readonly routes: readonly RouteReport[]
}

export interface RouteReport {
  readonly app: string
  readonly listen: ListenAddress
  readonly target: Target | null
  readonly paused: boolean
  /** Open connections by the slot that they were given to, over all generations of the plane. */
  readonly connections: Readonly<Record<Slot, number>>
  /** New connections that wait for a listening target. */
  readonly held: number
  /** Connections closed because nothing listened until the hold timeout, since the plane started. */
  readonly timedOut: number
}
