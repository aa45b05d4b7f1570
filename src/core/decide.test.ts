import assert from 'node:assert/strict'
import { test } from 'node:test'
import { definition } from '../../test/simulation/definition.ts'
import type { App, Deploy, DeployPhase, Observed, ObservedSlot, Slot } from './app.ts'
import { decide } from './decide.ts'
import { eventsBetween } from './events.ts'
import { plan } from './plan.ts'
import { newApp, requestDeploy, requestRollback, requestRun, requestSwitch } from './requests.ts'

const requestedAt = '2026-11-22T10:00:00Z'
const now = 100_000

/** Release 1 in blue, release 2 in green, blue active. */
function appWith(phase: DeployPhase | null, changes: Partial<App> = {}): App {
  const intent = (release: number, slot: Slot) =>
    ({ release, run: 'running', incarnation: release, definition: definition.slots[slot] }) as const
  const deploy: Deploy | null =
    phase === null
      ? null
      : {
          id: 7,
          kind: 'deploy',
          release: 2,
          switchWhenReady: false,
          force: false,
          requestedAt,
          slot: 'green',
          ...phase,
        }
  const slots = { blue: intent(1, 'blue'), green: intent(2, 'green') }
  return { ...newApp('web', definition), generation: 9, lastDeployId: 7, slots, deploy, ...changes }
}

const passing: ObservedSlot['health'] = { state: 'passing', since: 0, detail: 'HTTP 200' }

function seen(
  slots: { blue?: Partial<ObservedSlot>; green?: Partial<ObservedSlot> } = {},
  target: Slot = 'blue',
): Observed {
  const slot = (name: Slot, installed: number): ObservedSlot => ({
    installed,
    unit: 'active',
    restarts: 0,
    lastExit: null,
    listener: { state: 'owned', host: '127.0.0.1', port: definition.slots[name].port },
    health: passing,
    connections: 0,
    problem: null,
    ...slots[name],
  })
  const port = definition.slots[target].port
  return {
    slots: { blue: slot('blue', 1), green: slot('green', 2) },
    preview: null,
    route: {
      listen: '0.0.0.0:8080',
      target: { slot: target, host: '127.0.0.1', port },
      paused: false,
      guardedPorts: [21235, 21236],
    },
  }
}

const next = { id: 8, kind: 'deploy', release: 3, switchWhenReady: false, force: false, requestedAt } as const

test('a deploy that comes during the bake waits, and does not with force', () => {
  const app = appWith({ state: 'baking', until: now + 1, restartsBefore: 0 }, { activeSlot: 'green', next })
  assert.equal(decide(app, seen({}, 'green'), now).deploy?.state, 'baking')
  const forced = { ...app, next: { ...next, force: true } }
  assert.equal(decide(forced, seen({}, 'green'), now).deploy?.id, 8)
})

test('a slot with users is drained first, and freed at the deadline', () => {
  const app = appWith({ state: 'draining', until: now + 10 })
  const busy = seen({ green: { connections: 3 } })
  assert.equal(decide(app, busy, now).deploy?.state, 'draining')
  assert.equal(decide(app, busy, now + 10).deploy?.state, 'preparing')
  assert.equal(decide(app, seen(), now).deploy?.state, 'preparing')
})

test('a slot that still carries the traffic is not freed: at the deadline the deploy fails instead', () => {
  const app = appWith({ state: 'draining', until: now + 1 })
  const stillThere = seen({ blue: { health: { state: 'unknown' } } }, 'green')
  assert.equal(decide(app, stillThere, now).deploy?.state, 'draining')
  assert.equal(decide(app, stillThere, now + 1).deploy?.state, 'failed')
})

test('traffic does not stay with the other slot when the active one was stopped', () => {
  const stopped = appWith(null)
  const { blue } = stopped.slots
  const app = { ...stopped, slots: { ...stopped.slots, blue: blue && { ...blue, run: 'stopped' as const } } }
  const steps = plan(app, seen({ blue: { unit: 'inactive', health: { state: 'unknown' } } }, 'green'))
  assert.deepEqual(steps, [{ kind: 'route', target: null, paused: false, guardedPorts: [21235, 21236] }])
})

test('preparing raises the generation and gives the slot a new incarnation', () => {
  const app = appWith({ state: 'draining', until: now })
  const prepared = decide(app, seen(), now)
  assert.equal(prepared.generation, app.generation + 1)
  assert.equal(prepared.slots.green?.incarnation, prepared.generation)
})

test('a release is ready only after min_healthy without a break', () => {
  const app = appWith({ state: 'preparing', until: now + 60_000, isInPlace: true })
  const since = now - definition.minHealthyMs + 1
  const young = seen({ green: { health: { state: 'passing', since, detail: '' } } })
  assert.equal(decide(app, young, now).deploy?.state, 'preparing')
  assert.equal(decide(app, young, now + 1).deploy?.state, 'ready')
})

test('a step that cannot be done fails the deploy with its reason', () => {
  const app = appWith({ state: 'preparing', until: now + 60_000, isInPlace: true })
  const problem = { code: 'DISK_FULL', message: 'No space' } as const
  const { deploy } = decide(app, seen({ green: { installed: null, problem } }), now)
  assert.deepEqual(deploy?.state === 'failed' && [deploy.code, deploy.reason], ['DISK_FULL', 'No space'])
})

for (const [what, trouble] of [
  ['ends', { unit: 'activating' }],
  ['was restarted', { restarts: 1 }],
  ['fails three probes', { health: { state: 'failing', failures: 3, detail: 'HTTP 500' } }],
] as const) {
  test(`a release that ${what} during the bake gives the traffic back and is marked bad`, () => {
    const app = appWith({ state: 'baking', until: now + 9, restartsBefore: 0 }, { activeSlot: 'green' })
    const after = decide(app, seen({ green: trouble }, 'green'), now)
    assert.equal(after.deploy?.state, 'rolled-back')
    assert.equal(after.activeSlot, 'blue')
    assert.deepEqual(after.bad, [2])
    assert.equal(after.generation, app.generation + 1)
  })
}

test('two failed probes are no reason to go back', () => {
  const app = appWith({ state: 'baking', until: now + 9, restartsBefore: 0 }, { activeSlot: 'green' })
  const shaky = seen({ green: { health: { state: 'failing', failures: 2, detail: 'HTTP 500' } } }, 'green')
  assert.equal(decide(app, shaky, now), app)
})

test('traffic does not go back to a slot that is down', () => {
  const app = appWith({ state: 'baking', until: now + 9, restartsBefore: 0 }, { activeSlot: 'green' })
  const both = seen({ blue: { unit: 'failed' }, green: { unit: 'activating' } }, 'green')
  assert.equal(decide(app, both, now).activeSlot, 'green')
})

test('new connections are held while the active slot is made anew', () => {
  const app = appWith(null)
  const steps = plan(app, seen({ blue: { installed: null } }))
  assert.deepEqual(
    steps.map((step) => (step.kind === 'route' ? `route ${step.target?.slot ?? 'hold'}` : step.kind)),
    ['route hold', 'stop-slot', 'install-slot', 'start-slot'],
  )
})

test('a foreign listener on the slot port is never given a connection', () => {
  const steps = plan(
    appWith(null),
    seen({ blue: { listener: { state: 'foreign', detail: 'held by pid 4711' } } }),
  )
  assert.deepEqual(steps, [{ kind: 'route', target: null, paused: false, guardedPorts: [21235, 21236] }])
})

test('a switch to a slot that does not pass its probes is refused with the reason, and obeyed with force', () => {
  const failing = seen({ green: { health: { state: 'failing', failures: 1, detail: 'HTTP 503' } } })
  const wish = { to: null, force: false, requestedAt }
  assert.throws(() => requestSwitch(appWith(null), wish, failing, now), {
    code: 'NOT_READY',
    message: 'Cannot switch "web" to green: HTTP 503',
  })
  assert.equal(requestSwitch(appWith(null), { ...wish, force: true }, failing, now).activeSlot, 'green')
})

test('not even by force is a stopped slot put in front', () => {
  const app = appWith(null)
  const { green } = app.slots
  const stopped = { ...app, slots: { ...app.slots, green: green && { ...green, run: 'stopped' as const } } }
  assert.throws(() => requestSwitch(stopped, { to: null, force: true, requestedAt }, seen(), now), {
    code: 'NOT_READY',
  })
})

test('a switch to a release that is still being proven is refused', () => {
  const app = appWith({ state: 'preparing', until: now + 9, isInPlace: true })
  assert.throws(() => requestSwitch(app, { to: null, force: false, requestedAt }, seen(), now), {
    code: 'NOT_READY',
  })
})

test('a rollback goes to the release before, not forward to one that waits in the other slot', () => {
  const app = appWith({ state: 'ready' }, { previousRelease: 5 })
  const back = requestRollback(app, { release: null, force: false, requestedAt }, seen(), now)
  assert.equal(back.activeSlot, 'blue')
  assert.deepEqual([back.next?.release, back.next?.switchWhenReady], [5, true])
})

test('a rollback to what the other slot still runs is a switch, and is told as a rollback', () => {
  const app = appWith({ state: 'live' }, { activeSlot: 'green', previousRelease: 1 })
  const back = requestRollback(app, { release: null, force: false, requestedAt }, seen({}, 'green'), now)
  assert.equal(back.activeSlot, 'blue')
  assert.deepEqual([back.deploy?.kind, back.deploy?.state], ['rollback', 'switching'])
})

test('a bad release is not deployed again unless forced', () => {
  const wish = { kind: 'deploy', release: 2, switchWhenReady: false, requestedAt } as const
  const app = appWith(null, { bad: [2] })
  assert.throws(() => requestDeploy(app, { ...wish, force: false }), { code: 'RELEASE_BAD' })
  assert.equal(requestDeploy(app, { ...wish, force: true }).next?.release, 2)
})

test('the slot of a release that bakes cannot be stopped or restarted', () => {
  const app = appWith({ state: 'baking', until: now + 9, restartsBefore: 0 }, { activeSlot: 'green' })
  for (const action of ['stop', 'restart'] as const) {
    assert.throws(() => requestRun(app, action, ['green']), { code: 'BUSY' })
  }
})

test('while a release bakes the slot that it would go back to cannot be stopped or restarted either', () => {
  const app = appWith({ state: 'baking', until: now + 9, restartsBefore: 0 }, { activeSlot: 'green' })
  for (const action of ['stop', 'restart'] as const) {
    assert.throws(() => requestRun(app, action, ['blue']), { code: 'BUSY', message: /blue is the way back/ })
  }
})

test('a release that was not watched to the end is watched again when it is switched to again', () => {
  const live = appWith({ state: 'live' })
  const switched = requestSwitch(live, { to: null, force: false, requestedAt }, seen(), now)
  const unproven = decide(switched, seen({}, 'green'), now)
  assert.equal(unproven.deploy?.state, 'baking')
  const after = decide(unproven, seen({}, 'green'), now + definition.bakeMs)
  assert.deepEqual([after.deploy?.state, after.proven], ['live', [2]])
  const proven = decide({ ...switched, proven: [2] }, seen({}, 'green'), now)
  assert.equal(proven.deploy?.state, 'live')
  const forced = requestSwitch(live, { to: null, force: true, requestedAt }, seen(), now)
  assert.equal(decide(forced, seen({}, 'green'), now).deploy?.state, 'live')
})

test('a switch back during the bake is told as that, not as another deploy', () => {
  const before = appWith({ state: 'baking', until: now + 9, restartsBefore: 0 }, { activeSlot: 'green' })
  const after = requestSwitch(before, { to: null, force: false, requestedAt }, seen({}, 'green'), now)
  assert.deepEqual(
    eventsBetween(before, after).map(({ message }) => message),
    [
      'Release 2 is not watched any more: somebody switched to blue (release 1)',
      'New connections go to blue (release 1)',
    ],
  )
})

test('the journal tells a switch and who went before it', () => {
  const before = appWith({ state: 'live' })
  const after = requestSwitch(before, { to: null, force: false, requestedAt }, seen(), now)
  assert.deepEqual(
    eventsBetween(before, after).map(({ type, message }) => `${type}: ${message}`),
    ['switched: New connections go to green (release 2)'],
  )
})
