import { type App, type Observed, otherSlot, SLOTS, type Slot, type Step, type Target } from './app.ts'
import { formatListen } from './definition.ts'
import { isForcedSwitch } from './deploy.ts'
import { isPassing } from './health.ts'

/** The steps that bring the host closer to `app`; an empty list means converged, or waiting for the world. */
export function plan(app: App, observed: Observed): Step[] {
  if (app.removal !== null) return planRemoval(app.removal.purge)
  const steps = [...planRoute(app, observed), ...planPreview(app, observed)]
  for (const slot of SLOTS) steps.push(...planSlot(app, slot, observed))
  return steps
}

function planRemoval(purge: boolean): Step[] {
  const steps: Step[] = [{ kind: 'unroute' }, { kind: 'unpreview' }]
  for (const slot of SLOTS) steps.push({ kind: 'stop-slot', slot }, { kind: 'uninstall-slot', slot, purge })
  return [...steps, { kind: 'forget-app', purge }]
}

function planRoute(app: App, observed: Observed): Step[] {
  const { route } = observed
  const target = wantedTarget(app, observed)
  const guardedPorts = guardedPortsOf(app)
  const isAsWanted =
    route !== null &&
    route.guardedPorts.join() === guardedPorts.join() &&
    route.listen === formatListen(app.definition.listen) &&
    route.paused === app.paused &&
    isSameTarget(route.target, target)
  return isAsWanted ? [] : [{ kind: 'route', target, paused: app.paused, guardedPorts }]
}

/** The preview address leads to the inactive slot, ready or not: it is there to look at what is not shown yet. */
function planPreview({ activeSlot, definition: { preview }, slots }: App, observed: Observed): Step[] {
  if (preview === null) return observed.preview === null ? [] : [{ kind: 'unpreview' }]
  const slot = otherSlot(activeSlot)
  const { listener, installed } = observed.slots[slot]
  const isInPlace = slots[slot] !== null && installed === slots[slot].incarnation
  const target: Target | null =
    isInPlace && listener.state === 'owned' ? { slot, host: listener.host, port: listener.port } : null
  const isAsWanted =
    observed.preview?.listen === formatListen(preview) && isSameTarget(observed.preview.target, target)
  return isAsWanted ? [] : [{ kind: 'preview', target }]
}

/** Both what runs and what will: a port changes with the next deploy only. */
function guardedPortsOf({ definition, slots }: App): number[] {
  if (!definition.guardSlotPorts) return []
  const ports = SLOTS.flatMap((slot) => [definition.slots[slot].port, slots[slot]?.definition.port ?? []])
  return [...new Set(ports.flat())].toSorted((one, other) => one - other)
}

/** null: hold new connections until there is somebody to give them to. */
function wantedTarget(app: App, observed: Observed): Target | null {
  const current = observed.route?.target ?? null
  const slot = current === null || mayMove(app, current.slot, observed) ? app.activeSlot : current.slot
  const intent = app.slots[slot]
  const { installed, listener, unit } = observed.slots[slot]
  if (intent === null || intent.run === 'stopped' || installed !== intent.incarnation) return null
  switch (listener.state) {
    case 'owned':
      return { slot, host: listener.host, port: listener.port }
    case 'foreign':
      return null
    case 'none':
      // A process that opens its listener anew is waited for where it was. While none runs, or none has listened yet, the
      // port may become anybody's: nobody is sent there before its owner was seen.
      return current?.slot === slot && unit === 'active' ? current : null
    default:
      return listener satisfies never
  }
}

/** Traffic leaves a slot for one that answers, or when asked to by force, or when there is nothing left to leave. */
function mayMove(app: App, from: Slot, observed: Observed): boolean {
  if (from === app.activeSlot) return true
  // Stopped by decision: nobody else stands in for it, least of all a release that took itself back.
  if (app.slots[app.activeSlot]?.run === 'stopped') return true
  const isForced = app.deploy !== null && isForcedSwitch(app.deploy)
  return (
    isForced ||
    isPassing(observed.slots[app.activeSlot], app.slots[app.activeSlot]) ||
    !isServing(app, from, observed)
  )
}

function isServing(app: App, slot: Slot, observed: Observed): boolean {
  return observed.slots[slot].unit === 'active' && app.slots[slot]?.run === 'running'
}

function isSameTarget(a: Target | null, b: Target | null): boolean {
  if (a === null || b === null) return a === b
  return a.slot === b.slot && a.host === b.host && a.port === b.port
}

function planSlot(app: App, slot: Slot, observed: Observed): Step[] {
  const intent = app.slots[slot]
  if (intent === null) return []
  const { installed, unit } = observed.slots[slot]
  const isStopped = unit === 'inactive' || unit === 'failed'
  const stop: Step[] = isStopped ? [] : [{ kind: 'stop-slot', slot }]
  if (intent.run === 'stopped') return stop
  if (installed !== intent.incarnation) {
    // The slot that new connections still go to is replaced only when it is the active one by decision.
    const carriesTraffic = observed.route?.target?.slot === slot && app.activeSlot !== slot
    return carriesTraffic
      ? []
      : [...stop, { kind: 'install-slot', slot, intent }, { kind: 'start-slot', slot }]
  }
  return isStopped ? [{ kind: 'start-slot', slot }] : []
}
