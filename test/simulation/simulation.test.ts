import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { App, ReleaseNumber } from '../../src/core/app.ts'
import {
  newApp,
  requestDeploy,
  requestRemoval,
  requestRollback,
  requestRun,
  requestSwitch,
} from '../../src/core/requests.ts'
import { definition } from './definition.ts'
import { type Request, type Run, simulate } from './simulate.ts'
import { type Behaviour, healthy } from './world.ts'

const requestedAt = '2026-11-22T10:00:00Z'

const deploy = (at: number, release: ReleaseNumber, { andSwitch = false, force = false } = {}): Request => ({
  at,
  name: `deploy ${release}`,
  change: (app) =>
    requestDeploy(app, { kind: 'deploy', release, switchWhenReady: andSwitch, force, requestedAt }),
})
const switchOver = (at: number, force = false): Request => ({
  at,
  name: 'switch',
  change: (app, observed, now) => requestSwitch(app, { to: null, force, requestedAt }, observed, now),
})
const rollback = (at: number, release: ReleaseNumber | null = null): Request => ({
  at,
  name: 'rollback',
  change: (app, observed, now) => requestRollback(app, { release, force: false, requestedAt }, observed, now),
})
const kill = (at: number, slot: 'blue' | 'green'): Request => ({
  at,
  name: `kill ${slot}`,
  change: (app) => app,
  world: (world) => world.kill(slot),
})
const connect = (at: number, slot: 'blue' | 'green', connections: number): Request => ({
  at,
  name: `${connections} connections on ${slot}`,
  change: (app) => app,
  world: (world) => {
    world.connections[slot] = connections
  },
})

const behaviours = new Map<ReleaseNumber, Behaviour>([
  [1, healthy],
  [2, healthy],
  [3, healthy],
  [10, { readyAfter: 1e9, endsAfter: null, hangsAfter: null }],
  [11, { readyAfter: 300, endsAfter: 700, hangsAfter: null }],
  [12, { readyAfter: 300, endsAfter: 6_000, hangsAfter: null }],
  [13, { readyAfter: 300, endsAfter: null, hangsAfter: 5_000 }],
])

interface Scenario {
  readonly name: string
  readonly script: readonly Request[]
  /** The releases that may be in front when all is over, whatever died in between. */
  readonly active: readonly ReleaseNumber[]
  readonly outcome: readonly (string | undefined)[]
}

const scenarios: readonly Scenario[] = [
  { name: 'the first release goes into both slots', script: [deploy(0, 1)], active: [1], outcome: ['live'] },
  {
    name: 'a release is deployed, switched to by hand, baked and live',
    script: [deploy(0, 1), deploy(6_000, 2), switchOver(14_000)],
    active: [2, 1],
    outcome: ['live', 'ready'],
  },
  {
    name: 'a deploy with switch goes through to live',
    script: [deploy(0, 1), deploy(6_000, 2, { andSwitch: true })],
    active: [2],
    outcome: ['live'],
  },
  {
    name: 'two switches go there and back',
    script: [deploy(0, 1), deploy(6_000, 2, { andSwitch: true }), switchOver(30_000), switchOver(60_000)],
    active: [1, 2],
    outcome: ['live'],
  },
  {
    name: 'a release that never listens times out and the old one stays',
    script: [deploy(0, 1), deploy(6_000, 10, { andSwitch: true })],
    active: [1],
    outcome: ['failed'],
  },
  {
    name: 'a release that crashes at once fails and the old one stays',
    script: [deploy(0, 1), deploy(6_000, 11, { andSwitch: true })],
    active: [1],
    outcome: ['failed'],
  },
  {
    name: 'a release that crashes during the bake takes itself back',
    script: [deploy(0, 1), deploy(6_000, 12, { andSwitch: true })],
    active: [1],
    outcome: ['rolled-back', 'failed'],
  },
  {
    name: 'a release that hangs during the bake takes itself back',
    script: [deploy(0, 1), deploy(6_000, 13, { andSwitch: true })],
    active: [1],
    outcome: ['rolled-back', 'failed'],
  },
  {
    name: 'a newer upload replaces one that is being prepared',
    script: [deploy(0, 1), deploy(6_000, 2, { andSwitch: true }), deploy(6_500, 3, { andSwitch: true })],
    active: [3],
    outcome: ['live'],
  },
  {
    name: 'a deploy during the bake waits for its end',
    script: [deploy(0, 1), deploy(6_000, 2, { andSwitch: true }), deploy(12_000, 3)],
    active: [2],
    outcome: ['ready'],
  },
  {
    name: 'a deploy asked for during a switch waits',
    script: [deploy(0, 1), deploy(6_000, 2), switchOver(14_000), deploy(14_000, 3)],
    active: [1, 2],
    outcome: ['ready'],
  },
  {
    name: 'switching back during the bake ends it',
    script: [deploy(0, 1), deploy(6_000, 2, { andSwitch: true }), switchOver(12_500)],
    active: [1, 2],
    outcome: ['live', 'failed'],
  },
  {
    name: 'a deploy waits for the users of the inactive slot until its deadline',
    script: [deploy(0, 1), connect(5_000, 'green', 3), deploy(6_000, 2, { andSwitch: true })],
    active: [2],
    outcome: ['live'],
  },
  {
    name: 'rollback by number brings a kept release back',
    script: [
      deploy(0, 1),
      deploy(6_000, 2, { andSwitch: true }),
      deploy(30_000, 3, { andSwitch: true }),
      rollback(60_000, 1),
    ],
    active: [1],
    outcome: ['live'],
  },
  {
    name: 'the active unit dies at an idle hour and is held until it is back',
    script: [deploy(0, 1), deploy(6_000, 2, { andSwitch: true }), kill(40_000, 'green')],
    active: [2],
    outcome: ['live'],
  },
  {
    name: 'the inactive unit dies while its release waits to be switched to',
    script: [deploy(0, 1), deploy(6_000, 2), kill(12_000, 'green'), switchOver(20_000)],
    active: [1, 2],
    outcome: ['live', 'ready'],
  },
]

/** Every point at which the daemon can die, whole and half, alone and together with the host. */
function* crashes(points: number): Generator<{ at: number; half: boolean; reboot: boolean }> {
  for (let at = 0; at < points; at += 1) {
    for (const half of [false, true]) for (const reboot of [false, true]) yield { at, half, reboot }
  }
}

function checkEnd(run: Run, scenario: Scenario, label: string): void {
  assert.deepEqual(run.world.violations, [], label)
  const active = run.app.slots[run.app.activeSlot]?.release
  assert.ok(active !== undefined && scenario.active.includes(active), `${label}: release ${active} is active`)
  const state = run.app.deploy?.state
  assert.ok(
    scenario.outcome.includes(state),
    `${label}: the deploy ended as ${state}; refused: ${run.refused.join(' | ')}`,
  )
  assert.equal(run.world.route?.target?.slot, run.app.activeSlot, `${label}: traffic goes to the active slot`)
  const running = run.world.units[run.app.activeSlot]
  assert.equal(running.installed?.release, active, `${label}: the active slot runs its release`)
}

let cuts = 0
for (const scenario of scenarios) {
  test(`${scenario.name}, whatever the moment at which the daemon or the host dies`, () => {
    const whole = simulate(newApp('web', definition), scenario.script, behaviours, null)
    checkEnd(whole, scenario, 'undisturbed')
    for (const crash of crashes(whole.points)) {
      cuts += 1
      const run = simulate(newApp('web', definition), scenario.script, behaviours, crash)
      checkEnd(run, scenario, `died at ${JSON.stringify(crash)}`)
    }
  })
}

test('every state of a deploy is met by the scenarios', (t) => {
  const seen = new Set(
    scenarios.flatMap((s) => simulate(newApp('web', definition), s.script, behaviours, null).states),
  )
  assert.deepEqual([...seen].sort(), [
    'baking',
    'draining',
    'failed',
    'live',
    'preparing',
    'ready',
    'rolled-back',
    'switching',
  ])
  t.diagnostic(`${cuts} crash points tried`)
})

test('a removal that is interrupted anywhere ends with nothing left', () => {
  const script: Request[] = [
    deploy(0, 1),
    { at: 6_000, name: 'remove', change: (app) => requestRemoval(app, false) },
  ]
  const whole = simulate(newApp('web', definition), script, behaviours, null)
  for (const crash of [null, ...crashes(whole.points)]) {
    const { world } = simulate(newApp('web', definition), script, behaviours, crash)
    assert.ok(world.isForgotten, JSON.stringify(crash))
    assert.equal(world.route, null)
    assert.deepEqual([world.units.blue.installed, world.units.green.installed], [null, null])
  }
})

test('a restart of both slots by the operator ends with both running anew', () => {
  const restart: Request = {
    at: 6_000,
    name: 'restart',
    change: (app) => requestRun(app, 'restart', ['blue', 'green']),
    world: (world) => {
      world.mayTouchActive = true
    },
  }
  const script = [deploy(0, 1), restart]
  const whole = simulate(newApp('web', definition), script, behaviours, null)
  for (const crash of [null, ...crashes(whole.points)]) {
    const { app, world } = simulate(newApp('web', definition), script, behaviours, crash)
    assertRuns(app, world.units.blue.installed?.incarnation)
    assert.equal(world.route?.target?.slot, 'blue')
  }
})

function assertRuns(app: App, incarnation: number | undefined): void {
  assert.equal(app.slots.blue?.incarnation, incarnation)
}
