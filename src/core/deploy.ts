import {
  type App,
  type Deploy,
  type DeployPhase,
  type DeployRequest,
  type MonotonicMs,
  otherSlot,
  type Problem,
  type ReleaseNumber,
  type Slot,
  type SlotIntent,
} from './app.ts'
import { HOOK_TIMEOUT_MS } from './definition.ts'

/** The transitions of a deploy. Each that changes what should run or where traffic goes raises the generation. */

/** How long the data plane may take to carry a switch out. */
const SWITCH_TIMEOUT_MS = 10_000

export function beginNext(app: App, now: MonotonicMs): App {
  const { next } = app
  if (next === null) return app
  // An app without any release has no slot to spare: its first release goes into both.
  const slot = app.slots[app.activeSlot] === null ? app.activeSlot : otherSlot(app.activeSlot)
  const until = next.force ? now : now + app.definition.drainTimeoutMs
  return { ...app, next: null, deploy: { ...next, slot, state: 'draining', until } }
}

/** Decides what the slot is to run from here on. */
export function prepare(app: App, deploy: Deploy, now: MonotonicMs): App {
  const isFirst = deploy.slot === app.activeSlot
  const generation = app.generation + 1
  const intentFor = (slot: Slot): SlotIntent | null =>
    slot === deploy.slot || isFirst
      ? {
          release: deploy.release,
          run: 'running',
          incarnation: generation,
          definition: app.definition.slots[slot],
        }
      : app.slots[slot]
  const prepared = { ...app, generation, slots: { blue: intentFor('blue'), green: intentFor('green') } }
  const until = now + app.definition.deployTimeoutMs + hookTimeOf(app, deploy.slot)
  return withPhase(prepared, deploy, { state: 'preparing', until, isInPlace: false })
}

function hookTimeOf({ definition }: App, slot: Slot): number {
  return definition.slots[slot].hooks.beforeStart === null ? 0 : HOOK_TIMEOUT_MS
}

/** Points new connections at the deploy's slot. */
export function switchTo(app: App, deploy: Deploy, now: MonotonicMs): App {
  const switching = withPhase(app, deploy, { state: 'switching', until: now + SWITCH_TIMEOUT_MS })
  return activate(switching, deploy.slot)
}

/** Points new connections back, and remembers a release that failed by itself. */
export function rollBack(app: App, deploy: Deploy, problem: Problem, outcome: 'failed' | 'rolled-back'): App {
  const reason = problem.message
  const back = activate(
    withPhase(app, deploy, { state: outcome, code: problem.code, reason }),
    otherSlot(deploy.slot),
  )
  return outcome === 'rolled-back' ? { ...back, bad: withNewest(app.bad, deploy.release) } : back
}

/** `stop`: a process that cannot stay up is not left to crash for ever; otherwise the slot is kept for inspection. */
export function fail(app: App, deploy: Deploy, problem: Problem, then: 'keep' | 'stop' = 'keep'): App {
  const failed = withPhase(app, deploy, { state: 'failed', code: problem.code, reason: problem.message })
  const intent = app.slots[deploy.slot]
  if (then === 'keep' || intent === null || deploy.slot === app.activeSlot) return failed
  const stopped: SlotIntent = { ...intent, run: 'stopped' }
  return { ...failed, generation: app.generation + 1, slots: { ...app.slots, [deploy.slot]: stopped } }
}

/** It has held out as long as it had to: from here on a switch to it needs no watching. */
export function goLive(app: App, deploy: Deploy): App {
  const proven = withNewest(app.proven, deploy.release)
  const bad = app.bad.filter((release) => release !== deploy.release)
  return withPhase({ ...app, proven, bad }, deploy, { state: 'live' })
}

export function withPhase(app: App, deploy: Deploy, phase: DeployPhase): App {
  return { ...app, deploy: { ...requestOf(deploy), slot: deploy.slot, ...phase } }
}

/** An operator's `switch --force`: not even a slot that does not answer holds it up. */
export function isForcedSwitch(deploy: Deploy): boolean {
  return deploy.state === 'switching' && deploy.kind === 'switch' && deploy.force
}

/** Points new connections at a slot, and remembers what was active before. */
export function activate(app: App, slot: Slot): App {
  if (app.activeSlot === slot) return app
  const before = app.slots[app.activeSlot]?.release ?? null
  const after = app.slots[slot]?.release ?? null
  return {
    ...app,
    generation: app.generation + 1,
    activeSlot: slot,
    previousRelease: before === after ? app.previousRelease : before,
  }
}

function requestOf({ id, kind, release, switchWhenReady, force, requestedAt }: Deploy): DeployRequest {
  return { id, kind, release, switchWhenReady, force, requestedAt }
}

/** The newest hundred: the file stays small however many releases there are. */
function withNewest(known: readonly ReleaseNumber[], release: ReleaseNumber): readonly ReleaseNumber[] {
  return known.includes(release) ? known : [...known, release].slice(-100)
}
