import { type App, type Crashes, type MonotonicMs, type Observed, otherSlot } from './app.ts'
import { activate, rollBack } from './deploy.ts'
import { isPassing } from './health.ts'

/**
 * After the bake: counts how often the active slot's process was started again by itself, and gives its traffic to the other
 * slot when that was too often and the other answers. Off unless the definition says how often is too often.
 */
export function watchCrashes(app: App, observed: Observed, now: MonotonicMs): App {
  const { failoverCrashes } = app.definition
  const intent = app.slots[app.activeSlot]
  if (failoverCrashes === 0 || intent === null) return app
  const crashes = counted(app, observed, now)
  const watched = crashes === app.crashes ? app : { ...app, crashes }
  return crashes.at.length < failoverCrashes || !mayFailOver(watched, observed)
    ? watched
    : failOver(watched, observed)
}

function counted(app: App, observed: Observed, now: MonotonicMs): Crashes {
  const incarnation = app.slots[app.activeSlot]?.incarnation ?? 0
  const { restarts } = observed.slots[app.activeSlot]
  const known = app.crashes
  // Another process than the one that was counted, or the same one started anew by somebody.
  if (known === null || known.incarnation !== incarnation || restarts < known.seen)
    return { incarnation, seen: restarts, at: [] }
  if (restarts === known.seen) return known
  const recent = known.at.filter((at) => at > now - app.definition.failoverWithinMs)
  const fresh = Array.from({ length: restarts - known.seen }, () => now)
  return { incarnation, seen: restarts, at: [...recent, ...fresh].slice(-app.definition.failoverCrashes) }
}

function mayFailOver(app: App, observed: Observed): boolean {
  const { deploy, activeSlot, slots, bad } = app
  const other = otherSlot(activeSlot)
  const isBusy = deploy !== null && 'until' in deploy
  const intent = slots[other]
  return (
    !isBusy && intent !== null && !bad.includes(intent.release) && isPassing(observed.slots[other], intent)
  )
}

/** What was live takes itself back, late. */
function failOver(app: App, observed: Observed): App {
  const { deploy, activeSlot, definition } = app
  const { lastExit } = observed.slots[activeSlot]
  const often = `${definition.failoverCrashes} times in ${Math.round(definition.failoverWithinMs / 1_000)} s`
  const message = `The process ended ${often}${lastExit === null ? '' : ` (${lastExit})`}`
  if (deploy?.state === 'live' && deploy.slot === activeSlot)
    return rollBack(app, deploy, { code: 'UNIT_FAILED', message }, 'rolled-back')
  return activate(app, otherSlot(activeSlot))
}
