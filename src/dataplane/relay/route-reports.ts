import type { Slot, Target } from '../../core/app.ts'
import type { Route, RouteReport } from '../dataplane.ts'
import type { RelayRouteReport, Report } from './control-protocol.ts'

/** Whether a relay does what is wanted of it. */
export function isInForce(route: Route, reports: readonly RelayRouteReport[]): boolean {
  const report = reports.find(({ app }) => app === route.app)
  return (
    report !== undefined &&
    report.routed &&
    report.paused === route.paused &&
    isSameTarget(report.target, route.target)
  )
}

function isSameTarget(one: Target | null, other: Target | null): boolean {
  return one?.slot === other?.slot && one?.host === other?.host && one?.port === other?.port
}

/** One route over all generations; nothing if none of them serves it. */
export function aggregate(route: Route, reports: readonly Report[]): RouteReport[] {
  const current = reports.findLast(({ state }) => state === 'serving')
  const inForce = current?.routes.find(({ app }) => app === route.app)
  if (inForce === undefined || !inForce.routed || inForce.listening === null) return []
  const all = reports.flatMap(({ routes }) => routes.filter(({ app }) => app === route.app))
  const sum = (pick: (report: RelayRouteReport) => number): number =>
    all.reduce((total, report) => total + pick(report), 0)
  const connections = (slot: Slot): number => sum((report) => report.connections[slot])
  return [
    {
      app: route.app,
      listen: route.listen,
      target: inForce.target,
      paused: inForce.paused,
      guardedPorts: route.guardedPorts,
      via: 'relay',
      reason: null,
      connections: { blue: connections('blue'), green: connections('green') },
      held: sum(({ held }) => held),
      timedOut: sum(({ timedOut }) => timedOut),
    },
  ]
}
