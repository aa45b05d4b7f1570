import { SLOTS, type Target } from '../../core/app.ts'
import { formatListen } from '../../core/definition.ts'
import { describeError } from '../../core/errors.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Logger } from '../../platform/log.ts'
import type {
  Connection,
  DataPlane,
  IncidentListener,
  PlaneReport,
  Route,
  RouteReport,
  SlotProcesses,
} from '../dataplane.ts'
import type { RelayPlane } from '../relay/relay-plane.ts'
import { type AppListener, withAppListener } from './app-listener.ts'
import { KernelSteering } from './kernel-steering.ts'
import { closeSteered, countSteered, hasConnections, type PidsBySlot, steeredConnections } from './ledger.ts'
import type { SteeringTable } from './steering-table.ts'

export interface SteeringPlaneOptions {
  /** Listens on every public address and takes what is not steered. Disposed of with this. */
  readonly relay: RelayPlane
  /** A bpffs, where steering outlives the daemon; null: it ends with this process, and the relay takes over. */
  readonly pins: string | null
  readonly slotProcesses: SlotProcesses
  readonly log: Logger
  readonly clock: Clock
}

/** A listener that cannot be steered to is looked at again after so long, however many connections come meanwhile. */
const UNFIT_RETRY_MS = 5_000

interface Known {
  route: Route
  /** What became of it in the kernel; null: not tried yet. */
  outcome: Outcome | null
}

interface Outcome {
  /** SO_COOKIE of the socket that it was pointed at; null: the relay carries it. */
  readonly cookie: bigint | null
  /** Why the relay carries it, or some of its clients. */
  readonly reason: string | null
  readonly at: number
}

/**
 * Steering over the relay. Both know every route, and the kernel is told first. Level-based: `#settle` makes the kernel's side of a
 * route be as wanted, whatever it was before. Invariants: losing the kernel costs speed, never service, because the relay
 * always listens; once the relay was told of a switch, no socket of another slot is left in the table.
 */
export function createSteeringPlane(options: SteeringPlaneOptions): DataPlane {
  return new SteeringPlane(options)
}

class SteeringPlane implements DataPlane {
  readonly name = 'steering'
  readonly #options: SteeringPlaneOptions
  readonly #kernel: KernelSteering
  readonly #known = new Map<string, Known>()
  #loading: Promise<void> | null = null

  constructor(options: SteeringPlaneOptions) {
    this.#options = options
    const { pins, log, clock } = options
    this.#kernel = new KernelSteering({ pins, log, clock, fill: () => this.#fill() })
    options.relay.onArrival((app) => void this.#lookAgain(app))
  }

  async setRoute(route: Route): Promise<void> {
    await this.#load()
    const before = this.#known.get(route.app)
    const pids = await this.#pidsOf(route)
    const known: Known = { route, outcome: null }
    const { table } = this.#kernel
    // A switch takes effect here. An address that is new has to be opened by the relay first: it may be taken.
    if (table !== null && table.numberOf(route.listen) !== null)
      known.outcome = this.#steer(table, route, pids)
    this.#known.set(route.app, known)
    try {
      await this.#options.relay.setRoute(route)
    } catch (error) {
      if (before !== undefined) this.#known.set(route.app, before)
      throw error
    }
    if (!this.#isAsWanted(known)) this.#settle(known, pids)
    if (before === undefined || !isSamePlace(before.route, route)) this.#keepOnlyKnown()
  }

  async removeRoute(app: string): Promise<void> {
    await this.#load()
    this.#known.delete(app)
    this.#keepOnlyKnown()
    await this.#options.relay.removeRoute(app)
  }

  async observe(): Promise<PlaneReport> {
    await this.#load()
    const { routes } = await this.#options.relay.observe()
    for (const known of this.#known.values())
      if (!this.#isAsWanted(known)) this.#settle(known, await this.#pidsOf(known.route))
    return { routes: await Promise.all(routes.map((report) => this.#withSteering(report))) }
  }

  async connections(app: string): Promise<readonly Connection[]> {
    const relayed = await this.#options.relay.connections(app)
    const { maps } = this.#kernel
    const route = this.#known.get(app)?.route
    if (route === undefined || !hasConnections(route.listen)) return relayed
    const pids = await this.#pidsOfBoth(app)
    const now = this.#options.clock.now()
    return [...steeredConnections(route.listen, pids, { maps, now }), ...relayed]
  }

  async closeConnections(app: string, ids: readonly string[]): Promise<number> {
    const relayed = await this.#options.relay.closeConnections(app, ids)
    const route = this.#known.get(app)?.route
    if (route === undefined || !hasConnections(route.listen)) return relayed
    return relayed + closeSteered(route.listen, await this.#pidsOfBoth(app), new Set(ids))
  }

  onIncident(listener: IncidentListener): void {
    this.#kernel.onIncident(listener)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kernel[Symbol.dispose]()
    await this.#options.relay[Symbol.asyncDispose]()
  }

  /** Routes that a former daemon set are still wanted until somebody says otherwise. */
  async #load(): Promise<void> {
    this.#loading ??= this.#options.relay.wanted().then((routes) => {
      for (const route of routes) this.#known.set(route.app, { route, outcome: null })
    })
    await this.#loading
  }

  /** A connection came that was expected to be steered: the app may have opened its listener anew. */
  async #lookAgain(app: string): Promise<void> {
    const known = this.#known.get(app)
    if (known === undefined || this.#isAsWanted(known)) return
    try {
      this.#settle(known, await this.#pidsOf(known.route))
    } catch (error) {
      this.#options.log.warn('could not look for the listener of an app', { app, error })
    }
  }

  /** The kernel's side was made anew: everything has to be put in again, at once. */
  #fill(): void {
    for (const known of this.#known.values()) {
      known.outcome = null
      void this.#lookAgain(known.route.app)
    }
    this.#keepOnlyKnown()
  }

  #isAsWanted({ route, outcome }: Known): boolean {
    const { table } = this.#kernel
    if (table === null) return true
    const number = table.numberOf(route.listen)
    const pointedAt = number === null ? null : table.pointedAt(number)
    if (targetOf(route) === null) return number !== null && pointedAt === null
    if (outcome === null) return false
    if (outcome.cookie !== null) return pointedAt === outcome.cookie
    return pointedAt === null && this.#options.clock.now() < outcome.at + UNFIT_RETRY_MS
  }

  /** Makes the kernel's side of the route as wanted, once the relay knows of it. */
  #settle(known: Known, pids: readonly number[]): void {
    const { table } = this.#kernel
    const isCurrent = this.#known.get(known.route.app) === known
    if (table === null || !isCurrent) return
    known.outcome = this.#steer(table, known.route, pids)
    if (known.outcome.cookie === null) table.unpoint(table.add(known.route.listen))
  }

  /** Points the route at the target's listener if there is one that the kernel takes; changes nothing if not. */
  #steer(table: SteeringTable, route: Route, pids: readonly number[]): Outcome {
    const at = this.#options.clock.now()
    const target = targetOf(route)
    if (target === null) return { cookie: null, reason: 'new connections are held', at }
    try {
      const number = table.add(route.listen)
      const found = withAppListener(pids, { listen: route.listen, target }, (fd) => table.point(number, fd))
      if (found.kind !== 'fit') return { cookie: null, reason: reasonOf(found), at: atOf(found, at) }
      if (table.pointedAt(number) === found.cookie)
        return { cookie: found.cookie, reason: found.exception, at }
      return { cookie: null, reason: 'the kernel dropped the listening socket at once', at: 0 }
    } catch (error) {
      return { cookie: null, reason: describeError(error), at }
    }
  }

  #keepOnlyKnown(): void {
    const routes = [...this.#known.values()].map(({ route }) => route)
    this.#kernel.table?.keepOnly(routes.map(({ listen }) => listen))
    this.#kernel.table?.guard(routes.flatMap(({ guardedPorts }) => guardedPorts))
  }

  async #withSteering(report: RouteReport): Promise<RouteReport> {
    const isLost = this.#kernel.table === null
    const outcome = this.#known.get(report.app)?.outcome ?? null
    const via = !isLost && outcome !== null && outcome.cookie !== null ? 'steering' : 'relay'
    const reason = isLost ? this.#kernel.reason : (outcome?.reason ?? null)
    // Connections that were steered outlive the steering.
    if (!hasConnections(report.listen)) return { ...report, via, reason }
    const steered = countSteered(report.listen, await this.#pidsOfBoth(report.app))
    const connections = { ...report.connections }
    for (const slot of SLOTS) connections[slot] += steered[slot]
    return { ...report, connections, via, reason }
  }

  async #pidsOf(route: Route): Promise<readonly number[]> {
    const target = targetOf(route)
    if (this.#kernel.table === null || target === null) return []
    return await this.#options.slotProcesses(route.app, target.slot)
  }

  async #pidsOfBoth(app: string): Promise<PidsBySlot> {
    const { slotProcesses } = this.#options
    const [blue, green] = await Promise.all([slotProcesses(app, 'blue'), slotProcesses(app, 'green')])
    return { blue, green }
  }
}

const isSamePlace = (one: Route, other: Route): boolean =>
  formatListen(one.listen) === formatListen(other.listen) &&
  one.guardedPorts.join() === other.guardedPorts.join()

/** Where new connections go; null: nowhere, they are held. */
const targetOf = (route: Route): Target | null => (route.paused ? null : route.target)

function reasonOf(found: Exclude<AppListener, { kind: 'fit' }>): string {
  return found.kind === 'unfit' ? found.reason : 'nothing listens there yet'
}

/** A listener that is not there may come at any moment; one that is unfit stays so for a while. */
const atOf = (found: AppListener, now: number): number => (found.kind === 'unfit' ? now : 0)
