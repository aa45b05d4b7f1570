import {
  type App,
  type Deploy,
  type DeployRequest,
  type MonotonicMs,
  type Observed,
  otherSlot,
  type ReleaseNumber,
  type Slot,
  type SlotIntent,
} from './app.ts'
import type { Definition } from './definition.ts'
import { switchTo, withPhase } from './deploy.ts'
import { DorcError } from './errors.ts'
import { isPassing } from './health.ts'

/**
 * What operators may ask for. Each function returns the app with the new intent, or throws a DorcError and
 * changes nothing. The loop does the rest.
 */

export function newApp(name: string, definition: Definition): App {
  return {
    name,
    generation: 1,
    definition,
    activeSlot: 'blue',
    paused: false,
    slots: { blue: null, green: null },
    previousRelease: null,
    deploy: null,
    next: null,
    lastDeployId: 0,
    bad: [],
    proven: [],
    crashes: null,
    removal: null,
  }
}

export type DeployWish = Pick<DeployRequest, 'kind' | 'release' | 'switchWhenReady' | 'force' | 'requestedAt'>

/** Asks for a release to be put into the inactive slot; it replaces one that waits already. */
export function requestDeploy(app: App, wish: DeployWish): App {
  refuseIfRemoved(app)
  if (app.bad.includes(wish.release) && !wish.force) {
    throw new DorcError('RELEASE_BAD', `Release ${wish.release} of "${app.name}" took itself back before`, {
      hint: `Upload a mended release, or insist: dorc rollback ${app.name} ${wish.release} --force`,
    })
  }
  const id = app.lastDeployId + 1
  return { ...app, generation: app.generation + 1, lastDeployId: id, next: { ...wish, id } }
}

export interface SwitchWish {
  /** `rollback`: somebody wants to go back, not on; without force, which belongs to a switch. */
  readonly kind?: 'switch' | 'rollback'
  readonly to: Slot | null
  readonly force: boolean
  readonly requestedAt: string
}

/** Points new connections at the other slot. Throws NOT_READY, BUSY, NOTHING_DEPLOYED, RELEASE_BAD; NOTHING_NEW if it is active. */
export function requestSwitch(app: App, wish: SwitchWish, observed: Observed, now: MonotonicMs): App {
  refuseIfRemoved(app)
  const slot = wish.to ?? otherSlot(app.activeSlot)
  const intent = app.slots[slot]
  if (slot === app.activeSlot)
    throw new DorcError('NOTHING_NEW', `Slot ${slot} of "${app.name}" is the active one already`)
  if (intent === null) {
    throw new DorcError('NOTHING_DEPLOYED', `Cannot switch "${app.name}": its ${slot} slot is empty`, {
      hint: `Put a release into it: dorc deploy ${app.name}`,
    })
  }
  const { deploy } = app
  if (deploy?.state === 'switching') throw busy(app, `release ${deploy.release} is being switched to`)
  if (!wish.force) refuseUnready(app, slot, intent, observed)
  if (intent.run === 'stopped') {
    throw new DorcError('NOT_READY', `Cannot switch "${app.name}" to ${slot}: it is stopped`, {
      hint: `Start it: dorc start ${app.name} --slot ${slot}`,
    })
  }
  if (deploy?.slot === slot && deploy.state === 'ready') return switchTo(app, deploy, now)
  const id = app.lastDeployId + 1
  const { force, requestedAt } = wish
  const request: DeployRequest = {
    id,
    kind: force ? 'switch' : (wish.kind ?? 'switch'),
    release: intent.release,
    switchWhenReady: true,
    force,
    requestedAt,
  }
  const requested: App = { ...app, generation: app.generation + 1, lastDeployId: id }
  return switchTo(requested, { ...request, slot, state: 'ready' }, now)
}

function refuseUnready(app: App, slot: Slot, intent: SlotIntent, observed: Observed): void {
  const { deploy } = app
  const insist = `See why: dorc status ${app.name}. To switch all the same: dorc switch ${app.name} --force`
  if (app.bad.includes(intent.release)) {
    throw new DorcError(
      'RELEASE_BAD',
      `Release ${intent.release} in the ${slot} slot took itself back before`,
      {
        hint: `Upload a mended release, or insist: dorc switch ${app.name} --force`,
      },
    )
  }
  const isBeingProven = deploy?.slot === slot && (deploy.state === 'preparing' || deploy.state === 'failed')
  if (isPassing(observed.slots[slot], intent) && !isBeingProven) return
  throw new DorcError(
    'NOT_READY',
    `Cannot switch "${app.name}" to ${slot}: ${whyUnready(app, slot, intent, observed)}`,
    {
      hint: insist,
    },
  )
}

function whyUnready(app: App, slot: Slot, intent: SlotIntent, observed: Observed): string {
  const { deploy } = app
  const { unit, health, problem, installed } = observed.slots[slot]
  if (deploy?.slot === slot && deploy.state === 'failed')
    return `release ${deploy.release} failed there: ${deploy.reason}`
  if (intent.run === 'stopped') return 'it is stopped'
  if (problem !== null) return problem.message
  if (installed !== intent.incarnation) return `release ${intent.release} is still being put in place`
  if (unit !== 'active') return `its unit is ${unit}`
  if (health.state === 'failing') return health.detail
  if (health.state === 'unknown') return 'no probe has answered yet'
  return `release ${intent.release} has not passed its probes for long enough yet`
}

export interface RollbackWish {
  readonly release: ReleaseNumber | null
  readonly force: boolean
  readonly requestedAt: string
}

/**
 * Back to the release that was active before: at once if its slot still has it, else by a deploy of it.
 * With a number: to that release.
 */
export function requestRollback(app: App, wish: RollbackWish, observed: Observed, now: MonotonicMs): App {
  refuseIfRemoved(app)
  const release = wish.release ?? app.previousRelease
  if (release === null) {
    throw new DorcError('NOTHING_DEPLOYED', `Cannot roll "${app.name}" back: nothing was active before`, {
      hint: `See what there is: dorc releases ${app.name}`,
    })
  }
  const { force, requestedAt } = wish
  const inactive = otherSlot(app.activeSlot)
  const isWaiting =
    app.slots[inactive]?.release === release && isPassing(observed.slots[inactive], app.slots[inactive])
  if (isWaiting)
    return requestSwitch(app, { kind: 'rollback', to: inactive, force, requestedAt }, observed, now)
  return requestDeploy(app, { kind: 'rollback', release, switchWhenReady: true, force, requestedAt })
}

/** start, stop and restart of the named slots. A restart makes a slot anew, with the app's present definition. */
export function requestRun(app: App, action: 'start' | 'stop' | 'restart', slots: readonly Slot[]): App {
  refuseIfRemoved(app)
  const present = slots.filter((slot) => app.slots[slot] !== null)
  if (present.length === 0) {
    throw new DorcError('NOTHING_DEPLOYED', `Cannot ${action} "${app.name}": nothing is deployed there`, {
      hint: `Put a release into it: dorc deploy ${app.name}`,
    })
  }
  const { deploy } = app
  if (action !== 'start' && deploy !== null) refuseToDisturb(app, deploy, present)
  const generation = app.generation + 1
  const after = { ...app.slots }
  for (const slot of present) {
    const intent = app.slots[slot]
    if (intent !== null)
      after[slot] = changedRun(intent, action, { generation, definition: app.definition, slot })
  }
  const changed: App = { ...app, generation, slots: after }
  const isStopOfReady = action === 'stop' && deploy?.state === 'ready' && present.includes(deploy.slot)
  return isStopOfReady
    ? withPhase(changed, deploy, { state: 'failed', code: 'SUPERSEDED', reason: 'Its slot was stopped' })
    : changed
}

/** Neither the slot that is at work, nor, while a release is watched, the one that it would go back to. */
function refuseToDisturb(app: App, { state, slot, release }: Deploy, slots: readonly Slot[]): void {
  if (isUnderWay(state) && slots.includes(slot)) throw busy(app, `release ${release} is ${state}`)
  if (state !== 'switching' && state !== 'baking') return
  throw busy(app, `release ${release} is ${state}, and ${otherSlot(slot)} is the way back`)
}

function changedRun(
  intent: SlotIntent,
  action: 'start' | 'stop' | 'restart',
  { generation, definition, slot }: { generation: number; definition: Definition; slot: Slot },
): SlotIntent {
  switch (action) {
    case 'start':
      return { ...intent, run: 'running' }
    case 'stop':
      return { ...intent, run: 'stopped' }
    case 'restart':
      return { ...intent, run: 'running', incarnation: generation, definition: definition.slots[slot] }
    default:
      return action satisfies never
  }
}

function isUnderWay(state: string): boolean {
  return state === 'preparing' || state === 'switching' || state === 'baking'
}

/** Holds new connections, or lets them through again; the app as it is if that is so already. */
export function requestPause(app: App, paused: boolean): App {
  refuseIfRemoved(app)
  return app.paused === paused ? app : { ...app, generation: app.generation + 1, paused }
}

/** A new definition: the listen address moves at once, what runs keeps the definition that it was started with. */
export function requestLoad(app: App, definition: Definition): App {
  refuseIfRemoved(app)
  return { ...app, generation: app.generation + 1, definition }
}

export function requestRemoval(app: App, purge: boolean): App {
  return { ...app, generation: app.generation + 1, next: null, removal: { purge } }
}

function refuseIfRemoved(app: App): void {
  if (app.removal !== null) throw busy(app, 'it is being removed')
}

function busy(app: App, reason: string): DorcError {
  return new DorcError('BUSY', `"${app.name}" is busy: ${reason}`, {
    hint: `Follow it: dorc status ${app.name}`,
  })
}
