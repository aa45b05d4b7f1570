import { type App, type Observed, otherSlot, type ReleaseNumber, type Slot } from './app.ts'

/** What is wrong with an app, by the slot that it is wrong in. */
export interface Diagnosis {
  readonly slot: Slot
  /** One sentence; null: nothing is wrong with it. */
  readonly verdict: string | null
  /** One command or one thing to change. */
  readonly next: string
}

export interface Evidence {
  readonly observed: Observed
  /** The ports that the slot's processes listen on. */
  readonly listensOn: readonly number[]
}

/** The slot that needs looking into: that of a deploy that failed, else the active one if it is in trouble, else the other. */
export function slotInTrouble(app: App, observed: Observed): Slot {
  const { deploy, activeSlot } = app
  if (deploy?.state === 'failed' || deploy?.state === 'rolled-back') return deploy.slot
  if (troubleOf(app, activeSlot, observed) !== null) return activeSlot
  const other = otherSlot(activeSlot)
  return troubleOf(app, other, observed) === null ? activeSlot : other
}

/** Pure; `slot` as slotInTrouble() or the operator chose. */
export function diagnose(app: App, slot: Slot, { observed, listensOn }: Evidence): Diagnosis {
  const { deploy } = app
  const failed =
    deploy?.slot === slot && (deploy.state === 'failed' || deploy.state === 'rolled-back')
      ? deploy.reason
      : null
  return {
    slot,
    verdict: failed ?? troubleOf(app, slot, observed),
    next: nextFor(app, slot, { observed, listensOn }),
  }
}

function troubleOf(app: App, slot: Slot, observed: Observed): string | null {
  const intent = app.slots[slot]
  if (intent === null || intent.run === 'stopped') return null
  const { problem, unit, listener, health, lastExit, restarts } = observed.slots[slot]
  const exit = lastExit === null ? '' : `: ${lastExit}`
  if (problem !== null) return problem.message
  if (unit !== 'active') return `The process does not run (unit is ${unit})${exit}`
  if (listener.state === 'foreign') return listener.detail
  if (health.state === 'failing') return health.detail
  return restarts === 0 ? null : `The process was started again ${restarts} times by itself${exit}`
}

function nextFor(app: App, slot: Slot, { observed, listensOn }: Evidence): string {
  const { name } = app
  const seen = observed.slots[slot]
  const intent = app.slots[slot]
  const port = intent?.definition.port ?? app.definition.slots[slot].port
  if (intent === null) return `dorc deploy ${name}`
  if (intent.run === 'stopped' && app.deploy?.state !== 'failed') return `dorc start ${name} --slot ${slot}`
  if (seen.listener.state === 'foreign')
    return `End the process that holds port ${port}, or choose another port`
  const [elsewhere] = listensOn.includes(port) ? [] : listensOn
  if (elsewhere !== undefined)
    return `Let it listen on ${port}, which it finds in the environment as PORT and {port} in \`start\`; not on ${elsewhere}`
  if (seen.lastExit?.includes('out of memory')) return `Look for the memory: dorc logs ${name} --slot ${slot}`
  if (seen.health.state === 'failing' && seen.health.detail.startsWith('HTTP '))
    return `curl -i http://127.0.0.1:${port}${pathOf(app, slot)}`
  return `dorc logs ${name} --slot ${slot} -n 200`
}

function pathOf(app: App, slot: Slot): string {
  const probe = app.slots[slot]?.definition.probe ?? app.definition.slots[slot].probe
  return probe.kind === 'http' ? probe.path : '/'
}

/** With what a release that fails is compared: the newest other one that was live. */
export function lastGood(app: App, release: ReleaseNumber): ReleaseNumber | null {
  return app.proven.findLast((number) => number !== release && !app.bad.includes(number)) ?? null
}
