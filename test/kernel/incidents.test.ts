import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, test } from 'node:test'
import type { PlaneIncident, RouteReport } from '../../src/dataplane/dataplane.ts'
import { type Clock, systemClock } from '../../src/platform/clock.ts'
import { openSteering } from '../contract/dataplanes.ts'
import { Client, freePort, namedEcho, serve, until } from '../contract/tcp-peers.ts'
import { enterOwnNetwork, mountBpf, run } from './network.ts'

/** What becomes of the plane when its pins or its file system are taken from it, and who is told. */
before(enterOwnNetwork)

/** What is looked at every few seconds or minutes is looked at in the blink of an eye. */
const hastyClock: Clock = {
  ...systemClock,
  after: (delayMs, callback) => systemClock.after(delayMs / 500, callback),
}

test('pins that are deleted, a file system that is unmounted: told each time, served all the time', async (t) => {
  const mounted = mkdtempSync(join(tmpdir(), 'dorc-bpf-'))
  const pins = join(mounted, 'fs')
  mkdirSync(pins)
  mountBpf(pins)
  t.after(() => {
    run(`umount ${pins} 2>/dev/null || true`)
    rmSync(mounted, { recursive: true })
  })
  const { plane } = await openSteering(t, { pins, clock: hastyClock })
  const incidents: PlaneIncident[] = []
  plane.onIncident((incident) => incidents.push(incident))
  const [host, port] = ['127.0.0.1', await freePort(t)]
  const slot = await serve(t, namedEcho('blue'))
  await plane.setRoute({
    app: 'web',
    listen: { host, port },
    target: { slot: 'blue', host, port: slot.port },
    paused: false,
    holdTimeoutMs: 20_000,
    guardedPorts: [],
  })
  const reported = async (): Promise<Pick<RouteReport, 'via' | 'reason'>> => {
    const [report] = (await plane.observe()).routes
    assert.ok(report)
    const { via, reason } = report
    return { via, reason }
  }
  const isServed = (): Promise<void> => new Client(t, { host, port }).hears('blue\n')
  assert.deepEqual(await reported(), { via: 'steering', reason: null })
  await isServed()

  rmSync(join(pins, 'sockets'))
  await until('it is told', () => incidents.length === 1)
  await until('it is steered again', async () => (await reported()).via === 'steering')
  await isServed()

  run(`umount ${pins}`)
  await until('it is told', () => incidents.length === 2)
  const noFileSystem = `no bpf file system is mounted on ${pins}`
  assert.deepEqual(await reported(), { via: 'relay', reason: noFileSystem })
  await isServed()
  const vias = (await plane.connections('web')).map(({ via }) => via)
  assert.deepEqual(vias.toSorted(), ['relay', 'steering', 'steering'], 'a drain has to wait for all of them')
  assert.equal((await plane.observe()).routes[0]?.connections.blue, 3)

  mountBpf(pins)
  await until('it is told', () => incidents.length === 3)
  await until('it is steered again', async () => (await reported()).via === 'steering')
  await isServed()
  assert.deepEqual(incidents, [
    { type: 'steering-restored', message: 'The kernel steers again; before: the pin "sockets" is gone' },
    { type: 'steering-lost', message: `The relay carries: the pin "link" is gone, and ${noFileSystem}` },
    { type: 'steering-restored', message: `The kernel steers again; before: ${noFileSystem}` },
  ])
})
