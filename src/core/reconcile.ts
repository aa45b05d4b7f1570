import type { App, Deploy, MonotonicMs, Observed, Step } from './app.ts'
import { decide } from './decide.ts'
import { plan } from './plan.ts'

export interface Tick {
  readonly app: App
  readonly steps: readonly Step[]
  /** When to look again although nothing reports a change; null: no need. */
  readonly wakeAt: MonotonicMs | null
}

const LISTEN_LOOK_MS = 250

/** One turn of the loop: decide, then plan. Pure: same inputs, same tick. */
export function reconcile(app: App, observed: Observed, now: MonotonicMs): Tick {
  const decided = decide(app, observed, now)
  return { app: decided, steps: plan(decided, observed), wakeAt: nextWake(decided, observed, now) }
}

function nextWake(app: App, observed: Observed, now: MonotonicMs): MonotonicMs | null {
  const wakes = [listenWake(app, observed, now), deployWake(app, observed, now)].filter((at) => at !== null)
  return wakes.length === 0 ? null : Math.min(...wakes)
}

/** Nothing reports that a process begins to listen, and clients may wait for it. */
function listenWake(app: App, { slots }: Observed, now: MonotonicMs): MonotonicMs | null {
  const { unit, listener } = slots[app.activeSlot]
  const isAwaited = app.slots[app.activeSlot]?.run === 'running' && unit === 'active'
  return isAwaited && listener.state !== 'owned' ? now + LISTEN_LOOK_MS : null
}

function deployWake(app: App, observed: Observed, now: MonotonicMs): MonotonicMs | null {
  const { deploy } = app
  if (deploy === null || !('until' in deploy)) return null
  const { health } = observed.slots[deploy.slot]
  const maturesAt = health.state === 'passing' ? health.since + app.definition.minHealthyMs : null
  return deploy.state === 'preparing' && maturesAt !== null && maturesAt > now
    ? Math.min(maturesAt, deploy.until)
    : deploy.until
}

/**
 * Deadlines of another boot mean nothing now: each phase gets its full time again, and a release that was
 * baking has to be reached and to bake anew, because its process was started anew.
 */
export function rebaseDeadlines(app: App, now: MonotonicMs): App {
  const { deploy, definition } = app
  if (deploy === null) return app
  switch (deploy.state) {
    case 'draining':
      return { ...app, deploy: { ...deploy, until: now + definition.drainTimeoutMs } }
    case 'preparing':
      return { ...app, deploy: { ...deploy, until: now + definition.deployTimeoutMs } }
    case 'switching':
    case 'baking':
      return { ...app, deploy: toSwitching(deploy, now + definition.deployTimeoutMs) }
    case 'ready':
    case 'live':
    case 'failed':
    case 'rolled-back':
      return app
    default:
      return deploy satisfies never
  }
}

function toSwitching(deploy: Extract<Deploy, { state: 'switching' | 'baking' }>, until: MonotonicMs): Deploy {
  const { id, kind, release, switchWhenReady, force, requestedAt, slot } = deploy
  return { id, kind, release, switchWhenReady, force, requestedAt, slot, state: 'switching', until }
}
