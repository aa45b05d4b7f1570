import { type App, type Observed, otherSlot } from './app.ts'
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
  if (deploy?.state === 'failed') {
    return `Release ${deploy.release} failed, look at its output: dorc logs ${name} --slot ${deploy.slot}`
  }
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

function isActiveFailing(app: App, observed: Observed): boolean {
  const { health, unit } = observed.slots[app.activeSlot]
  return unit === 'failed' || (health.state === 'failing' && health.failures >= 3)
}
