import { type App, type Deploy, type MonotonicMs, type Observed, otherSlot } from './app.ts'
import { watchCrashes } from './crashes.ts'
import { beginNext, fail, goLive, isForcedSwitch, prepare, rollBack, switchTo, withPhase } from './deploy.ts'
import { isHealthy, isPassing } from './health.ts'

/** After so many crashes a release that is being prepared has failed; the supervisor goes on trying for longer. */
const CRASHES_TO_FAIL = 3
/** During the bake, so many failed probes in a row send traffic back. */
const PROBES_TO_FAIL = 3

/** Moves the deploy at most one state forward. Never touches the world. */
export function decide(app: App, observed: Observed, now: MonotonicMs): App {
  if (app.removal !== null) return app
  if (mayBeginNext(app)) return beginNext(app, now)
  const { deploy } = app
  if (deploy === null) return watchCrashes(app, observed, now)
  switch (deploy.state) {
    case 'draining':
      return decideDraining(app, deploy, observed, now)
    case 'preparing':
      return decidePreparing(app, deploy, observed, now)
    case 'ready':
      return decideReady(app, deploy, observed, now)
    case 'switching':
      return decideSwitching(app, deploy, observed, now)
    case 'baking':
      return decideBaking(app, deploy, observed, now)
    case 'live':
    case 'failed':
    case 'rolled-back':
      return watchCrashes(app, observed, now)
    default:
      return deploy satisfies never
  }
}

/** A newer release replaces one that has not switched; it never takes away the way back of one that bakes. */
function mayBeginNext({ next, deploy }: App): boolean {
  if (next === null) return false
  if (deploy === null) return true
  if (deploy.state === 'baking') return next.force
  return deploy.state !== 'switching'
}

function decideDraining(app: App, deploy: Of<'draining'>, observed: Observed, now: MonotonicMs): App {
  const slot = observed.slots[deploy.slot]
  const carriesTraffic = observed.route?.target?.slot === deploy.slot && app.activeSlot !== deploy.slot
  if (carriesTraffic && now < deploy.until) return app
  if (carriesTraffic) {
    const message = `New connections still go to ${deploy.slot}, because ${app.activeSlot} does not answer`
    return fail(app, deploy, { code: 'DEPLOY_TIMED_OUT', message })
  }
  const isFree = slot.connections === 0 || slot.unit === 'inactive' || slot.unit === 'failed'
  return isFree || now >= deploy.until ? prepare(app, deploy, now) : app
}

function decidePreparing(app: App, deploy: Of<'preparing'>, observed: Observed, now: MonotonicMs): App {
  const slot = observed.slots[deploy.slot]
  const intent = app.slots[deploy.slot]
  if (!deploy.isInPlace && slot.installed === intent?.incarnation) {
    const until = now + app.definition.deployTimeoutMs
    return withPhase(app, deploy, { state: 'preparing', until, isInPlace: true })
  }
  if (isHealthy(slot, intent, { minHealthyMs: app.definition.minHealthyMs, now })) {
    return withPhase(app, deploy, { state: 'ready' })
  }
  // A hook that failed is not to be run again and again.
  if (slot.problem !== null)
    return fail(app, deploy, slot.problem, slot.problem.code === 'HOOK_FAILED' ? 'stop' : 'keep')
  if (
    slot.installed === intent?.incarnation &&
    (slot.unit === 'failed' || slot.restarts >= CRASHES_TO_FAIL)
  ) {
    const exit = slot.lastExit === null ? '' : ` (${slot.lastExit})`
    return fail(app, deploy, { code: 'UNIT_FAILED', message: `The process keeps ending${exit}` }, 'stop')
  }
  if (now < deploy.until) return app
  return fail(app, deploy, {
    code: 'DEPLOY_TIMED_OUT',
    message: `Not ready in time: ${describeSlot(observed, deploy)}`,
  })
}

function decideReady(app: App, deploy: Of<'ready'>, observed: Observed, now: MonotonicMs): App {
  const { deployTimeoutMs } = app.definition
  if (!isPassing(observed.slots[deploy.slot], app.slots[deploy.slot])) {
    return withPhase(app, deploy, { state: 'preparing', until: now + deployTimeoutMs, isInPlace: true })
  }
  // The first release of an app has nobody to take traffic from: it is live by itself.
  if (deploy.slot === app.activeSlot) return goLive(app, deploy)
  return deploy.switchWhenReady ? switchTo(app, deploy, now) : app
}

function decideSwitching(app: App, deploy: Of<'switching'>, observed: Observed, now: MonotonicMs): App {
  const slot = observed.slots[deploy.slot]
  const isSteered = observed.route?.target?.slot === deploy.slot
  if (isSteered && (isForcedSwitch(deploy) || isPassing(slot, app.slots[deploy.slot]))) {
    if (isForcedSwitch(deploy)) return withPhase(app, deploy, { state: 'live' })
    const isProven = app.proven.includes(deploy.release)
    if (isProven || app.definition.bakeMs === 0) return goLive(app, deploy)
    const until = now + app.definition.bakeMs
    return withPhase(app, deploy, { state: 'baking', until, restartsBefore: slot.restarts })
  }
  if (now < deploy.until) return app
  const message = `New connections did not reach the ${deploy.slot} slot in time: ${describeSlot(observed, deploy)}`
  return rollBack(app, deploy, { code: 'SWITCH_TIMED_OUT', message }, 'failed')
}

function decideBaking(app: App, deploy: Of<'baking'>, observed: Observed, now: MonotonicMs): App {
  const trouble = bakeTrouble(deploy, observed)
  if (trouble === null) return now < deploy.until ? app : goLive(app, deploy)
  const back = observed.slots[otherSlot(deploy.slot)]
  const canGoBack = back.unit === 'active' && back.health.state !== 'failing'
  if (canGoBack) return rollBack(app, deploy, trouble, 'rolled-back')
  if (now < deploy.until) return app
  return fail(app, deploy, { ...trouble, message: `${trouble.message}, and the other slot cannot take over` })
}

function bakeTrouble(
  deploy: Of<'baking'>,
  observed: Observed,
): { code: 'UNIT_FAILED' | 'PROBE_FAILED'; message: string } | null {
  const { unit, restarts, lastExit, health } = observed.slots[deploy.slot]
  if (unit !== 'active' || restarts > deploy.restartsBefore) {
    return {
      code: 'UNIT_FAILED',
      message: `The process ended after the switch (${lastExit ?? `unit is ${unit}`})`,
    }
  }
  if (health.state === 'failing' && health.failures >= PROBES_TO_FAIL) {
    return {
      code: 'PROBE_FAILED',
      message: `${health.failures} probes in a row failed after the switch: ${health.detail}`,
    }
  }
  return null
}

type Of<State extends Deploy['state']> = Extract<Deploy, { state: State }>

function describeSlot(observed: Observed, deploy: Deploy): string {
  const { unit, health, listener } = observed.slots[deploy.slot]
  if (unit !== 'active') return `unit is ${unit}`
  if (listener.state === 'foreign') return listener.detail
  return health.state === 'unknown' ? 'no probe answered yet' : health.detail
}
