import { type App, type Deploy, SLOTS } from './app.ts'

/** What the journal tells of a change of intent or of a deploy; it decides nothing. */
export interface Event {
  readonly type:
    | 'deploy-asked'
    | 'deploy-started'
    | 'deploy-superseded'
    | 'preparing'
    | 'ready'
    | 'not-ready'
    | 'switched'
    | 'baking'
    | 'live'
    | 'deploy-failed'
    | 'rolled-back'
    | 'stopped'
    | 'started'
    | 'restarted'
    | 'paused'
    | 'resumed'
    | 'definition-loaded'
    | 'removing'
  readonly message: string
  readonly deploy: number | null
}

/** In the order in which they happened. */
export function eventsBetween(before: App, after: App): Event[] {
  return [
    ...askedEvents(before, after),
    ...deployEvents(before.deploy, after),
    ...switchEvents(before, after),
    ...runEvents(before, after),
    ...otherEvents(before, after),
  ]
}

/** The one event of a deploy that has an author: everything after it dorc does by itself. */
function askedEvents(before: App, { next }: App): Event[] {
  if (next === null || next.id === before.next?.id) return []
  const what = next.kind === 'rollback' ? 'Rollback to' : 'Deploy of'
  const further = next.switchWhenReady ? ', with a switch' : ''
  return [
    {
      type: 'deploy-asked',
      message: `${what} release ${next.release} was asked for${further}`,
      deploy: next.id,
    },
  ]
}

function deployEvents(before: Deploy | null, after: App): Event[] {
  const { deploy } = after
  if (deploy === null || deploy === before) return []
  const events: Event[] = []
  const isNew = before?.id !== deploy.id
  if (isNew && before !== null && isUnderWay(before)) {
    events.push({ type: 'deploy-superseded', message: supersededBy(before, deploy), deploy: before.id })
  }
  if (isNew && deploy.kind !== 'switch') {
    const message = `${deploy.kind === 'rollback' ? 'Rollback' : 'Deploy'} of release ${deploy.release} to ${deploy.slot}`
    events.push({ type: 'deploy-started', message, deploy: deploy.id })
  }
  const phase = phaseEvent(isNew ? null : before, deploy)
  return phase === null ? events : [...events, { ...phase, deploy: deploy.id }]
}

function supersededBy(before: Deploy, { kind, release, slot }: Deploy): string {
  if (kind !== 'switch')
    return `Deploy of release ${before.release} was replaced by that of release ${release}`
  const ended = before.state === 'baking' ? 'is not watched any more' : `was ${before.state} no longer`
  return `Release ${before.release} ${ended}: somebody switched to ${slot} (release ${release})`
}

function isUnderWay({ state }: Deploy): boolean {
  return state !== 'live' && state !== 'failed' && state !== 'rolled-back'
}

function phaseEvent(before: Deploy | null, deploy: Deploy): Omit<Event, 'deploy'> | null {
  if (before?.state === deploy.state) return null
  const { release, slot } = deploy
  switch (deploy.state) {
    case 'draining':
    case 'switching':
      return null
    case 'preparing':
      return before?.state === 'ready'
        ? { type: 'not-ready', message: `Release ${release} in ${slot} does not pass its probes any more` }
        : { type: 'preparing', message: `Release ${release} is put into ${slot}` }
    case 'ready':
      return { type: 'ready', message: `Release ${release} is ready in ${slot}` }
    case 'baking':
      return { type: 'baking', message: `Release ${release} is watched in ${slot}` }
    case 'live':
      return { type: 'live', message: `Release ${release} is live in ${slot}` }
    case 'failed':
      return {
        type: 'deploy-failed',
        message: `Release ${release} failed in ${slot}: ${deploy.reason} (${deploy.code})`,
      }
    case 'rolled-back':
      return {
        type: 'rolled-back',
        message: `Release ${release} took itself back: ${deploy.reason} (${deploy.code})`,
      }
    default:
      return deploy satisfies never
  }
}

function switchEvents(before: App, after: App): Event[] {
  if (before.activeSlot === after.activeSlot) return []
  const { deploy } = after
  const isForced = deploy !== null && deploy.force && deploy.state === 'switching'
  const release = after.slots[after.activeSlot]?.release
  const message = `New connections go to ${after.activeSlot} (release ${release})${isForced ? ', by force' : ''}`
  return [{ type: 'switched', message, deploy: deploy?.id ?? null }]
}

function runEvents(before: App, after: App): Event[] {
  const events: Event[] = []
  for (const slot of SLOTS) {
    const [old, now] = [before.slots[slot], after.slots[slot]]
    if (old === null || now === null || old === now || old.release !== now.release) continue
    if (old.run !== now.run) {
      const type = now.run === 'running' ? 'started' : 'stopped'
      events.push({ type, message: `Slot ${slot} was ${type}`, deploy: null })
    } else if (old.incarnation !== now.incarnation) {
      events.push({ type: 'restarted', message: `Slot ${slot} is restarted`, deploy: null })
    }
  }
  return events
}

function otherEvents(before: App, after: App): Event[] {
  const events: Event[] = []
  if (before.paused !== after.paused) {
    const [type, what] = after.paused ? (['paused', 'held'] as const) : (['resumed', 'let through'] as const)
    events.push({ type, message: `New connections are ${what}`, deploy: null })
  }
  if (before.definition !== after.definition) {
    events.push({ type: 'definition-loaded', message: 'A new definition was loaded', deploy: null })
  }
  if (before.removal === null && after.removal !== null) {
    events.push({ type: 'removing', message: `"${after.name}" is being removed`, deploy: null })
  }
  return events
}
