import {
  type App,
  type Observed,
  type ObservedRoute,
  type ObservedSlot,
  SLOTS,
  type Slot,
} from '../core/app.ts'
import { formatListen } from '../core/definition.ts'
import { hasCode } from '../core/errors.ts'
import { previewRouteName } from '../core/names.ts'
import { slotProbe, slotProcess } from '../core/slot-process.ts'
import type { DataPlane, RouteReport } from '../dataplane/dataplane.ts'
import { listenerOf } from '../health/listener.ts'
import type { Prober, ProbeResult } from '../health/prober.ts'
import type { Installed, ReleaseStore } from '../releases/release-store.ts'
import type { ObservedUnit, Supervisor } from '../supervisor/supervisor.ts'
import type { Problems } from './app-loop.ts'

/** What the core decides by, and beside it what people want to see. */
export interface Observation {
  readonly observed: Observed
  readonly units: Readonly<Record<Slot, ObservedUnit>>
  readonly probes: Readonly<Record<Slot, ProbeResult | null>>
  readonly route: RouteReport | null
}

export interface Adapters {
  readonly supervisor: Supervisor
  readonly dataPlane: DataPlane
  readonly releases: ReleaseStore
  readonly prober: Prober
}

/** Asks every adapter once. Also tells the prober what to watch: a process that runs is probed, no other is. */
export async function observe(app: App, adapters: Adapters, problems: Problems): Promise<Observation> {
  const [plane, blue, green] = await Promise.all([
    adapters.dataPlane.observe(),
    observeSlot(app, 'blue', adapters),
    observeSlot(app, 'green', adapters),
  ])
  const route = plane.routes.find((candidate) => candidate.app === app.name) ?? null
  const preview = plane.routes.find((candidate) => candidate.app === previewRouteName(app.name)) ?? null
  const slots = { blue, green }
  const slotOf = (slot: Slot): ObservedSlot => ({
    ...slots[slot].seen,
    problem: problems[slot],
    connections: route?.connections[slot] ?? 0,
  })
  return {
    observed: {
      route: routeOf(route),
      preview: routeOf(preview),
      slots: { blue: slotOf('blue'), green: slotOf('green') },
    },
    units: { blue: blue.unit, green: green.unit },
    probes: { blue: blue.lastProbe, green: green.lastProbe },
    route,
  }
}

function routeOf(route: RouteReport | null): ObservedRoute | null {
  if (route === null) return null
  const { listen, target, paused, guardedPorts } = route
  return { listen: formatListen(listen), target, paused, guardedPorts }
}

interface SlotObservation {
  readonly unit: ObservedUnit
  readonly lastProbe: ProbeResult | null
  readonly seen: Omit<ObservedSlot, 'problem' | 'connections'>
}

async function observeSlot(app: App, slot: Slot, adapters: Adapters): Promise<SlotObservation> {
  const [unit, record] = await Promise.all([
    adapters.supervisor.observe(app.name, slot),
    installedIn(app.name, slot, adapters.releases),
  ])
  // Files and unit are written one after the other: only when both are of one incarnation is it whole.
  const installed = record !== null && record.incarnation === unit.incarnation ? record.incarnation : null
  const isProbed = watchHealth(app, slot, { unit, installed }, adapters.prober)
  const listener = isWanted(app, slot) ? listenerOf(unit.pids, app.slots[slot]?.definition.port ?? 0) : null
  return {
    unit,
    lastProbe: isProbed ? adapters.prober.lastResult(app.name, slot) : null,
    seen: {
      installed,
      unit: unit.state,
      restarts: unit.restarts,
      lastExit: unit.lastExit,
      listener: listener ?? { state: 'none' },
      health: isProbed ? adapters.prober.health(app.name, slot) : { state: 'unknown' },
    },
  }
}

/** Also while it is down: whoever has its port then is to be known before anybody is sent there. */
const isWanted = (app: App, slot: Slot): boolean => app.slots[slot]?.run === 'running'

/** A record that cannot be understood is none: the slot is made anew, and what lies there is not trusted. */
async function installedIn(app: string, slot: Slot, releases: ReleaseStore): Promise<Installed | null> {
  try {
    return await releases.installed(app, slot)
  } catch (error) {
    if (hasCode(error, 'STATE_CORRUPT')) return null
    throw error
  }
}

function watchHealth(
  app: App,
  slot: Slot,
  { unit, installed }: { unit: ObservedUnit; installed: number | null },
  prober: Prober,
): boolean {
  const intent = app.slots[slot]
  const isRunning = unit.state === 'active' && unit.invocation !== null
  if (intent === null || !isRunning || installed !== intent.incarnation) {
    prober.forget(app.name, slot)
    return false
  }
  prober.watch(app.name, slot, {
    invocation: unit.invocation,
    pids: unit.pids,
    process: slotProcess(app.name, slot, intent),
    probe: slotProbe(app.name, slot, intent),
    pace: isWatchedClosely(app, slot) ? 'fast' : 'slow',
  })
  return true
}

/** While something waits for the answer, ask often; else spare the processor. */
function isWatchedClosely({ deploy }: App, slot: Slot): boolean {
  const isWaitedFor =
    deploy?.state === 'preparing' || deploy?.state === 'switching' || deploy?.state === 'baking'
  return isWaitedFor && deploy.slot === slot
}

export const slotsOf = (app: App): readonly Slot[] => SLOTS.filter((slot) => app.slots[slot] !== null)
