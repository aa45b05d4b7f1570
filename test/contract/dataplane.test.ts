import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import type { Slot } from '../../src/core/app.ts'
import type { DataPlane, Route, RouteReport } from '../../src/dataplane/dataplane.ts'
import { dataPlanes } from './dataplanes.ts'
import { Client, freePort, namedEcho, serve, until } from './tcp-peers.ts'

const HOST = '127.0.0.1'

for (const { name, open } of dataPlanes)
  describe(`data plane ${name}`, () => {
    test('a switch sends new connections to the other slot and keeps open ones', async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      await plane.setRoute(slots.route('blue'))
      const old = new Client(t, { host: HOST, port: slots.port })
      await old.hears('blue\n')

      await plane.setRoute(slots.route('green'))
      const young = new Client(t, { host: HOST, port: slots.port })
      await young.hears('green\n')
      await old.talks('still here')
      assert.deepEqual((await reportOf(plane)).connections, { blue: 1, green: 1 })

      old.socket.destroy()
      await until('the old connection is no longer counted', async () => {
        const { connections } = await reportOf(plane)
        return connections.blue === 0 && connections.green === 1
      })
    })

    test('a restart of the daemon side cuts nothing and keeps the route', async (t) => {
      const underTest = await open(t)
      const slots = await twoSlots(t)
      await underTest.plane.setRoute(slots.route('blue'))
      const old = new Client(t, { host: HOST, port: slots.port })
      await old.hears('blue\n')

      await underTest.restart()
      await old.talks('after the restart')
      await new Client(t, { host: HOST, port: slots.port }).hears('blue\n')
      assert.deepEqual((await reportOf(underTest.plane)).target, slots.route('blue').target)
      await underTest.plane.setRoute(slots.route('green'))
      await new Client(t, { host: HOST, port: slots.port }).hears('green\n')
      await old.talks('after the switch')
    })

    test('a listen address that another process holds is refused and changes nothing', async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      const squatter = await serve(t, () => null)
      const route = { ...slots.route('blue'), listen: { host: HOST, port: squatter.port } }
      await assert.rejects(plane.setRoute(route), {
        code: 'PORT_TAKEN',
        message: new RegExp(`Cannot listen on "127.0.0.1:${squatter.port}", .*\\(pid ${process.pid}, user `),
      })
      assert.deepEqual(await plane.observe(), { routes: [] })
    })

    test('a removed route refuses new connections and keeps open ones', async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      await plane.setRoute(slots.route('blue'))
      const old = new Client(t, { host: HOST, port: slots.port })
      await old.hears('blue\n')
      await plane.removeRoute('web')
      await plane.removeRoute('web')
      const refused = new Client(t, { host: HOST, port: slots.port })
      await until('the connection is refused', () => refused.ended === 'ECONNREFUSED')
      await old.talks('still here')
    })
  })

interface TwoSlots {
  /** The public port. */
  readonly port: number
  route(slot: Slot | null, changes?: Partial<Route>): Route
}

async function twoSlots(t: TestContext): Promise<TwoSlots> {
  const ports = {
    blue: (await serve(t, namedEcho('blue'))).port,
    green: (await serve(t, namedEcho('green'))).port,
  }
  const port = await freePort(t)
  return {
    port,
    route: (slot, changes = {}) => ({
      app: 'web',
      listen: { host: HOST, port },
      target: slot === null ? null : { slot, host: HOST, port: ports[slot] },
      paused: false,
      holdTimeoutMs: 20_000,
      ...changes,
    }),
  }
}

async function reportOf(plane: DataPlane): Promise<RouteReport> {
  const { routes } = await plane.observe()
  const [report] = routes
  if (report === undefined) throw new Error('The plane reports no route')
  return report
}
