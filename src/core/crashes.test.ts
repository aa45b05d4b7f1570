import assert from 'node:assert/strict'
import { test } from 'node:test'
import { definition } from '../../test/simulation/definition.ts'
import type { App, Observed, ObservedSlot, Slot } from './app.ts'
import { watchCrashes } from './crashes.ts'
import { newApp } from './requests.ts'

const requestedAt = '2026-11-22T10:00:00Z'

/** Release 2 is live in green, release 1 waits in blue. */
function appWith(changes: Partial<App> = {}): App {
  const intent = (release: number, slot: Slot) =>
    ({ release, run: 'running', incarnation: release, definition: definition.slots[slot] }) as const
  return {
    ...newApp('web', { ...definition, failoverCrashes: 3, failoverWithinMs: 60_000 }),
    activeSlot: 'green',
    slots: { blue: intent(1, 'blue'), green: intent(2, 'green') },
    deploy: {
      id: 2,
      kind: 'deploy',
      release: 2,
      switchWhenReady: true,
      force: false,
      requestedAt,
      slot: 'green',
      state: 'live',
    },
    ...changes,
  }
}

function seen(restarts: number, blue: ObservedSlot['health']['state'] = 'passing'): Observed {
  const slot = (installed: number, health: ObservedSlot['health']): ObservedSlot => ({
    installed,
    unit: 'active',
    restarts: installed === 2 ? restarts : 0,
    lastExit: 'signal SEGV',
    listener: { state: 'none' },
    health,
    connections: 0,
    problem: null,
  })
  const passing = { state: 'passing', since: 0, detail: 'HTTP 200' } as const
  const failing = { state: 'failing', failures: 9, detail: 'HTTP 500' } as const
  return {
    route: null,
    preview: null,
    slots: { blue: slot(1, blue === 'passing' ? passing : failing), green: slot(2, passing) },
  }
}

/** The app after looks at these times, at which so many restarts were seen. */
const after = (app: App, looks: readonly (readonly [now: number, observed: Observed])[]): App =>
  looks.reduce((present, [now, observed]) => watchCrashes(present, observed, now), app)

test('the third crash within a minute gives the traffic to the other slot, and the release is bad', () => {
  const twice = after(appWith(), [
    [0, seen(0)],
    [10_000, seen(1)],
    [20_000, seen(2)],
  ])
  assert.equal(twice.activeSlot, 'green')
  const thrice = watchCrashes(twice, seen(3), 30_000)
  assert.equal(thrice.activeSlot, 'blue')
  assert.deepEqual(thrice.bad, [2])
  assert.equal(thrice.deploy?.state, 'rolled-back')
  assert.match(JSON.stringify(thrice.deploy), /ended 3 times in 60 s \(signal SEGV\)/)
})

test('three crashes over a longer time do not', () => {
  const app = after(appWith(), [
    [0, seen(0)],
    [10_000, seen(1)],
    [60_000, seen(2)],
    [90_000, seen(3)],
  ])
  assert.equal(app.activeSlot, 'green')
})

test('nobody is sent to a slot that fails, and is as soon as it answers', () => {
  const app = after(appWith(), [
    [0, seen(0)],
    [1_000, seen(3, 'failing')],
  ])
  assert.equal(app.activeSlot, 'green')
  assert.equal(watchCrashes(app, seen(3), 2_000).activeSlot, 'blue')
})

test('what was counted before a restart by somebody does not count', () => {
  const app = after(appWith(), [
    [0, seen(0)],
    [1_000, seen(2)],
    [2_000, seen(0)],
    [3_000, seen(1)],
  ])
  assert.equal(app.activeSlot, 'green')
})

test('without a policy nothing is counted', () => {
  const app = appWith({ definition })
  assert.equal(watchCrashes(app, seen(9), 1_000), app)
})
