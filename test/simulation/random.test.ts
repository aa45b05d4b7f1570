import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ReleaseNumber } from '../../src/core/app.ts'
import { newApp, requestDeploy, requestRollback, requestRun, requestSwitch } from '../../src/core/requests.ts'
import { definition } from './definition.ts'
import { type Request, simulate } from './simulate.ts'
import { type Behaviour, healthy } from './world.ts'

/** Scripts that no person would write: any request and any accident at any time, and one crash. */
const requestedAt = '2026-11-22T10:00:00Z'
const slot = fc.constantFrom('blue' as const, 'green' as const)
const at = fc.integer({ min: 0, max: 60_000 })

const deploys = fc
  .record({ at, release: fc.integer({ min: 1, max: 6 }), andSwitch: fc.boolean(), force: fc.boolean() })
  .map(
    ({ at, release, andSwitch, force }): Request => ({
      at,
      name: `deploy ${release}`,
      change: (app) =>
        requestDeploy(app, { kind: 'deploy', release, switchWhenReady: andSwitch, force, requestedAt }),
    }),
  )
const switches = fc.record({ at, to: fc.option(slot), force: fc.boolean() }).map(
  ({ at, to, force }): Request => ({
    at,
    name: 'switch',
    change: (app, observed, now) => requestSwitch(app, { to, force, requestedAt }, observed, now),
  }),
)
const rollbacks = fc.record({ at, release: fc.option(fc.integer({ min: 1, max: 6 })) }).map(
  ({ at, release }): Request => ({
    at,
    name: 'rollback',
    change: (app, observed, now) =>
      requestRollback(app, { release, force: false, requestedAt }, observed, now),
  }),
)
const runs = fc
  .record({ at, slot, action: fc.constantFrom('start' as const, 'stop' as const, 'restart' as const) })
  .map(
    ({ at, slot, action }): Request => ({
      at,
      name: `${action} ${slot}`,
      change: (app) => requestRun(app, action, [slot]),
      world: (world) => {
        world.mayTouchActive = true
      },
    }),
  )
const accidents = fc.record({ at, slot, connections: fc.integer({ min: -1, max: 5 }) }).map(
  ({ at, slot, connections }): Request => ({
    at,
    name: connections < 0 ? `kill ${slot}` : `${connections} connections on ${slot}`,
    change: (app) => app,
    world: (world) => {
      if (connections < 0) world.kill(slot)
      else world.connections[slot] = connections
    },
  }),
)
const behaviour: fc.Arbitrary<Behaviour> = fc.record({
  readyAfter: fc.constantFrom(300, 300, 300, 4_000, 1e9),
  endsAfter: fc.constantFrom(null, null, null, 700, 6_000, 20_000),
  hangsAfter: fc.constantFrom(null, null, null, 5_000, 30_000),
})
const script = fc
  .array(fc.oneof(deploys, deploys, switches, rollbacks, runs, accidents), { maxLength: 12 })
  .map((requests) => requests.sort((a, b) => a.at - b.at))
const crash = fc.option(
  fc.record({ at: fc.integer({ min: 0, max: 60 }), half: fc.boolean(), reboot: fc.boolean() }),
)

const first: Request = {
  at: 0,
  name: 'first deploy',
  change: (app) =>
    requestDeploy(app, { kind: 'deploy', release: 1, switchWhenReady: true, force: false, requestedAt }),
}

/** FC_RUNS=100000 searches longer. */
const RUNS = Number(process.env['FC_RUNS'] ?? 2_000)

test('no order of requests, accidents and crashes breaks an invariant or leaves anything half done', () => {
  fc.assert(
    fc.property(
      script,
      crash,
      fc.array(behaviour, { minLength: 5, maxLength: 5 }),
      (requests, dies, behaviours) => {
        const byRelease = new Map<ReleaseNumber, Behaviour>([
          [1, healthy],
          ...behaviours.map((b, i) => [i + 2, b] as const),
        ])
        const { app, world } = simulate(newApp('web', definition), [first, ...requests], byRelease, dies)
        assert.deepEqual(world.violations, [])
        const { deploy } = app
        const isWaiting = deploy?.state === 'draining' || deploy?.state === 'preparing'
        assert.ok(!isWaiting && deploy?.state !== 'switching', `the deploy is stuck in ${deploy?.state}`)
        assert.equal(app.next, null, 'a deploy waits for ever')
        for (const slot of ['blue', 'green'] as const) {
          const intent = app.slots[slot]
          if (intent === null || intent.run === 'stopped') assert.equal(world.units[slot].startedAt, null)
          else
            assert.equal(
              world.units[slot].installed?.incarnation,
              intent.incarnation,
              `${slot} is not what was decided`,
            )
        }
      },
    ),
    { numRuns: RUNS },
  )
})
