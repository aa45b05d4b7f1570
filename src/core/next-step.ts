import { type App, type Deploy, type Observed, otherSlot } from './app.ts'
import { isPassing } from './health.ts'

/** What to do next, in words with the command; null when nothing waits for anybody. */
export function nextStep(app: App, observed: Observed): string | null {
  const { name, deploy, activeSlot } = app
  if (app.removal !== null) return null
  if (app.slots[activeSlot] === null && (deploy === null || deploy.state === 'failed')) {
    const upload = `Upload a release to ${app.definition.uploadDir}, or type: dorc deploy ${name} PATH`
    return deploy === null ? upload : `The first release failed: ${deploy.reason}. ${upload}`
  }
  if (app.slots[activeSlot]?.run === 'stopped')
    return `Nothing answers: the active slot is stopped. Start it: dorc start ${name}`
  const { listener } = observed.slots[activeSlot]
  if (listener.state === 'foreign')
    return `New connections wait: ${listener.detail}. End that process: the port belongs to the ${activeSlot} slot`
  if (deploy?.state === 'ready') return `Show release ${deploy.release} to the world: dorc switch ${name}`
  if (deploy?.state === 'failed') return `Release ${deploy.release} failed, ${whereToLook(app, deploy)}`
  if (deploy?.state === 'rolled-back') {
    return `Release ${deploy.release} took itself back, look at its output: dorc logs ${name} --slot ${deploy.slot}`
  }
  if (isActiveFailing(app, observed)) {
    const other = otherSlot(activeSlot)
    const canSwitch = isPassing(observed.slots[other], app.slots[other])
    return canSwitch
      ? `The active slot fails. Go to the other: dorc switch ${name}`
      : `The active slot fails: dorc logs ${name}`
  }
  return null
}

/** Where the output of the process would say nothing of what failed. */
function whereToLook({ name }: App, { code, slot }: Extract<Deploy, { state: 'failed' }>): string {
  if (code === 'SUPERVISOR_FAILED' || code === 'DISK_FULL')
    return `mend what it says, then: dorc deploy ${name} --force`
  if (code === 'SWITCH_TIMED_OUT' || code === 'DATA_PLANE_FAILED')
    return `look at what carries new connections above, then: dorc switch ${name}`
  if (code === 'SUPERSEDED') return `start its slot again: dorc start ${name} --slot ${slot}`
  return `look at its output: dorc logs ${name} --slot ${slot}`
}

function isActiveFailing(app: App, observed: Observed): boolean {
  const { health, unit } = observed.slots[app.activeSlot]
  return unit === 'failed' || (health.state === 'failing' && health.failures >= 3)
}
