import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Slot } from '../../src/core/app.ts'
import type { Connection, DataPlane, Route, RouteReport } from '../../src/dataplane/dataplane.ts'
import { extent } from '../extent.ts'
import { receiveAll } from './raw-client.ts'
import { patternHash, readSlowly, sendPattern } from './bulk.ts'
import { dataPlanes, slotPids } from './dataplanes.ts'
import { Client, freePort, namedEcho, serve, until } from './tcp-peers.ts'

const HOST = '127.0.0.1'
const BULK_MB = extent(64, 1024)
const LEAST_SWITCHES = extent(4, 20)

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

    test('the ledger lists live connections by slot, with peer, age, bytes and process', async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      await plane.setRoute(slots.route('blue'))
      const old = new Client(t, { host: HOST, port: slots.port })
      await old.hears('blue\n')
      await old.talks('twelve bytes')
      await plane.setRoute(slots.route('green'))
      const young = new Client(t, { host: HOST, port: slots.port })
      await young.hears('green\n')

      await until('all bytes are counted', async () => (await ledgerOf(plane)).blue?.bytesOut === 18)
      const { blue, green } = await ledgerOf(plane)
      assert.deepEqual(blue?.peer, { host: HOST, port: old.socket.localPort })
      assert.deepEqual(green?.peer, { host: HOST, port: young.socket.localPort })
      assert.equal(blue?.bytesIn, 13)
      assert.equal(blue?.process?.pid, process.pid)
      assert.notEqual(green?.process?.pid, process.pid)
      assert.match(green?.process?.command ?? '', /^(node|MainThread)$/)
      assert.ok((blue?.ageMs ?? -1) >= (green?.ageMs ?? Infinity), 'the older one is older')
      young.socket.destroy()
      await until('what ended is no longer listed', async () => (await ledgerOf(plane)).green === undefined)
    })

    test('connections that are closed break at both ends, and the others live on', async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      const endings: string[] = []
      const server = await serve(t, (socket) => {
        socket.write('hello')
        socket.on('error', (error: NodeJS.ErrnoException) => endings.push(error.code ?? 'error'))
        socket.pipe(socket)
      })
      await plane.setRoute(slots.route('blue', { target: { slot: 'blue', host: HOST, port: server.port } }))
      const [doomed, spared] = [1, 2].map(() => new Client(t, { host: HOST, port: slots.port }))
      await doomed?.hears('hello')
      await spared?.hears('hello')
      const listed = await plane.connections('web')
      const { id = '' } = listed.find(({ peer }) => peer.port === doomed?.socket.localPort) ?? {}
      assert.equal(await plane.closeConnections('other', [id]), 0)
      assert.equal(await plane.closeConnections('web', [id, 'r1-99999-1', 'kzz']), 1)
      await until('the client hears of it', () => doomed?.ended === 'ECONNRESET')
      await until('the slot hears of it', () => endings.length > 0)
      assert.equal(await plane.closeConnections('web', [id]), 0)
      await spared?.talks('still here')
      assert.equal((await plane.connections('web')).length, 1)
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

    for (const [why, changes] of [
      ['without a target', { target: null }],
      ['while paused', { paused: true }],
    ] as const)
      test(`new connections are held ${why}, and then served with what they had sent`, async (t) => {
        const { plane } = await open(t)
        const slots = await twoSlots(t)
        await plane.setRoute(slots.route('blue', changes))
        const client = new Client(t, { host: HOST, port: slots.port })
        client.socket.write('sent early\n')
        await until('it is held', async () => (await reportOf(plane)).held === 1)
        await plane.setRoute(slots.route('green'))
        await client.hears('green\nsent early\n')
        assert.equal((await reportOf(plane)).held, 0)
      })

    test('connections are held while the slot does not listen, in any number, and served when it does', async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      const slotPort = await freePort(t)
      const route = slots.route('blue', { target: { slot: 'blue', host: HOST, port: slotPort } })
      await plane.setRoute(route)
      const clients = Array.from({ length: 200 }, () => new Client(t, { host: HOST, port: slots.port }))
      await until('all are held', async () => (await reportOf(plane)).held === clients.length)
      await serve(t, namedEcho('back again'), { port: slotPort })
      await Promise.all(clients.map((client) => client.hears('back again\n')))
      assert.equal((await reportOf(plane)).connections.blue, clients.length)
    })

    test('a held connection is reset at the hold timeout and counted', async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      await plane.setRoute(slots.route(null, { holdTimeoutMs: 100 }))
      const client = new Client(t, { host: HOST, port: slots.port })
      await until('it is closed', () => client.ended !== null)
      assert.equal(client.ended, 'ECONNRESET')
      const { held, timedOut } = await reportOf(plane)
      assert.deepEqual({ held, timedOut }, { held: 0, timedOut: 1 })
    })

    test('a client that leaves while it is held is dropped', async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      await plane.setRoute(slots.route(null))
      const [silent, reset] = [1, 2].map(() => new Client(t, { host: HOST, port: slots.port }))
      reset?.socket.write('a request')
      await until('both are held', async () => (await reportOf(plane)).held === 2)
      silent?.socket.destroy()
      reset?.socket.resetAndDestroy()
      await until('none is held', async () => (await reportOf(plane)).held === 0)
    })

    test('a half-close of the client reaches the slot, whose answer still comes back whole', async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      const answering = await serve(t, (socket) => {
        let length = 0
        socket.on('data', (chunk) => (length += chunk.length))
        socket.on('end', () => socket.end(`got ${length} bytes${'.'.repeat(1_000_000)}the end`))
      })
      await plane.setRoute(
        slots.route('blue', { target: { slot: 'blue', host: HOST, port: answering.port } }),
      )
      const client = new Client(t, { host: HOST, port: slots.port })
      client.socket.end('x'.repeat(500_000))
      await client.hears('the end')
      await until('the end of the stream', () => client.ended !== null)
      assert.equal(client.ended, 'end')
      assert.ok(client.received.startsWith('got 500000 bytes.'))
      assert.equal(client.received.length, 'got 500000 bytes'.length + 1_000_000 + 'the end'.length)
      await until('nothing is left open', async () => (await reportOf(plane)).connections.blue === 0)
    })

    test('a half-close of the slot reaches the client, which may go on sending', async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      let heard = ''
      let hasEnded = false
      const server = await serve(t, (socket) => {
        socket.end('all I have')
        socket.on('data', (chunk) => (heard += chunk.toString()))
        socket.on('end', () => (hasEnded = true))
      })
      await plane.setRoute(slots.route('blue', { target: { slot: 'blue', host: HOST, port: server.port } }))
      const client = new Client(t, { host: HOST, port: slots.port })
      await until('the end of the stream', () => client.ended === 'end')
      assert.equal(client.received, 'all I have')
      client.socket.write('one,')
      await until('the slot hears it', () => heard === 'one,')
      client.socket.end('two')
      await until('the slot hears the end', () => hasEnded)
      assert.equal(heard, 'one,two')
    })

    test('a reset of the client becomes a reset at the slot', async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      const endings: string[] = []
      const server = await serve(t, (socket) => {
        socket.write('hello')
        socket.on('end', () => endings.push('end'))
        socket.on('error', (error: NodeJS.ErrnoException) => endings.push(error.code ?? 'error'))
      })
      await plane.setRoute(slots.route('blue', { target: { slot: 'blue', host: HOST, port: server.port } }))
      const client = new Client(t, { host: HOST, port: slots.port })
      await client.hears('hello')
      client.socket.resetAndDestroy()
      await until('the slot hears of it', () => endings.length > 0)
      assert.deepEqual(endings, ['ECONNRESET'])
    })

    test('a reset of the slot becomes a reset at the client, after all that was sent before it', async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      const server = await serve(t, (socket) => {
        socket.write('half an ans', () => socket.resetAndDestroy())
      })
      await plane.setRoute(slots.route('blue', { target: { slot: 'blue', host: HOST, port: server.port } }))
      for (let round = 0; round < 20; round++) {
        assert.deepEqual(await receiveAll(slots.port), ['half an ans', 'ECONNRESET'])
      }
    })

    test(`${BULK_MB} MB each way arrive whole over many switches, with a slow reader at each end`, async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      const bytes = BULK_MB * 1024 * 1024
      const atSlot = createHash('sha256')
      const { promise: heard, resolve: hears } = Promise.withResolvers<number>()
      const server = await serve(t, (socket) => {
        sendPattern(socket, bytes)
        hears(readSlowly(socket, atSlot))
      })
      const target = (slot: Slot) => ({ slot, host: HOST, port: server.port })
      await plane.setRoute(slots.route('blue', { target: target('blue') }))
      const client = connect({ host: HOST, port: slots.port, allowHalfOpen: true })
      t.after(() => client.destroy())
      const atClient = createHash('sha256')
      sendPattern(client, bytes)
      const received = readSlowly(client, atClient)
      let switches = 0
      const isDone = received.then(() => true)
      while (!(await Promise.race([isDone, sleep(20, false)])))
        await plane.setRoute(slots.route(switches++ % 2 === 0 ? 'green' : 'blue'))
      await until('both ends are closed', async () => (await reportOf(plane)).connections.blue === 0)
      assert.equal(await heard, bytes)
      const expected = await patternHash(bytes)
      assert.equal(atClient.digest('hex'), expected)
      assert.equal(atSlot.digest('hex'), expected)
      assert.ok(switches >= LEAST_SWITCHES, `only ${switches} switches`)
      t.diagnostic(`${name}: ${BULK_MB} MB each way over ${switches} switches, equal hashes`)
    })

    for (const [listenHost, clientHosts] of [
      ['127.0.0.1', ['127.0.0.1']],
      ['0.0.0.0', ['127.0.0.1']],
      ['::1', ['::1']],
      ['::', ['127.0.0.1', '::1']],
    ] as const)
      for (const slotHost of ['127.0.0.1', '::1'])
        test(`${clientHosts.join(' and ')} through ${listenHost} reach a slot on ${slotHost}`, async (t) => {
          const { plane } = await open(t)
          const server = await serve(t, namedEcho('a slot'), { host: slotHost })
          const port = await freePort(t, listenHost)
          await plane.setRoute({
            app: 'web',
            listen: { host: listenHost, port },
            target: { slot: 'blue', host: slotHost, port: server.port },
            paused: false,
            holdTimeoutMs: 20_000,
            guardedPorts: [],
          })
          for (const host of clientHosts) await new Client(t, { host, port }).hears('a slot\n')
        })

    test('apps are apart: one without a target does not hold up another', async (t) => {
      const { plane } = await open(t)
      const [one, two] = [await twoSlots(t), await twoSlots(t)]
      await plane.setRoute(one.route(null, { app: 'one' }))
      await plane.setRoute(two.route('green', { app: 'two' }))
      const held = new Client(t, { host: HOST, port: one.port })
      await new Client(t, { host: HOST, port: two.port }).hears('green\n')
      assert.equal(held.received, '')
      const { routes } = await plane.observe()
      assert.deepEqual(
        routes.map(({ app, held }) => [app, held]),
        [
          ['one', 1],
          ['two', 0],
        ],
      )
    })

    test('an app gets a listen address that overlaps with its old one', async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      for (const host of ['127.0.0.1', '0.0.0.0', '::', '127.0.0.1']) {
        await plane.setRoute(slots.route('blue', { listen: { host, port: slots.port } }))
        await new Client(t, { host: HOST, port: slots.port }).hears('blue\n')
      }
    })

    test('an app gets another listen address, and the old one is closed', async (t) => {
      const { plane } = await open(t)
      const slots = await twoSlots(t)
      await plane.setRoute(slots.route('blue'))
      const port = await freePort(t)
      await plane.setRoute(slots.route('blue', { listen: { host: HOST, port } }))
      await new Client(t, { host: HOST, port }).hears('blue\n')
      const refused = new Client(t, { host: HOST, port: slots.port })
      await until('the old address refuses', () => refused.ended === 'ECONNREFUSED')
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
    green: await serveApart(t, 'green'),
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
      guardedPorts: [],
      ...changes,
    }),
  }
}

/** The one connection of each slot. */
async function ledgerOf(plane: DataPlane): Promise<{ blue?: Connection; green?: Connection }> {
  const connections = await plane.connections('web')
  return Object.fromEntries(connections.map((one) => [one.slot, one]))
}

/** In a process of its own: who holds a socket is how steering tells the slots apart. */
async function serveApart(t: TestContext, slot: Slot): Promise<number> {
  const script = new URL('echo-server.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [script, slot], { stdio: ['ignore', 'pipe', 'inherit'] })
  const pid = child.pid ?? 0
  slotPids[slot].add(pid)
  t.after(() => {
    slotPids[slot].delete(pid)
    child.kill('SIGKILL')
  })
  return Number(String((await once(child.stdout, 'data'))[0]))
}

async function reportOf(plane: DataPlane): Promise<RouteReport> {
  const { routes } = await plane.observe()
  const [report] = routes
  if (report === undefined) throw new Error('The plane reports no route')
  return report
}
