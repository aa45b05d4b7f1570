import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Route } from '../../src/dataplane/dataplane.ts'
import type { Report } from '../../src/dataplane/relay/control-protocol.ts'
import { RelayLink } from '../../src/dataplane/relay/relay-link.ts'
import { sendWithFds } from '../../src/platform/fd-passing.ts'
import { processStat } from '../../src/platform/proc.ts'
import { programArgv } from '../../src/platform/programs.ts'
import { openRelay, type RelayUnderTest } from '../contract/dataplanes.ts'
import { openIdle } from '../contract/raw-client.ts'
import { Client, freePort, namedEcho, serve, until } from '../contract/tcp-peers.ts'

const HOST = '127.0.0.1'

test('five upgrades under load fail no connection, and old ones stay with their generation', async (t) => {
  const relay = await openRelay(t)
  const route = await routeToEcho(t)
  await relay.plane.setRoute(route)
  const old = new Client(t, { host: HOST, port: route.listen.port })
  await old.hears('blue\n')
  const load = startLoad(t, route.listen.port)
  for (let upgrade = 1; upgrade <= 5; upgrade++) {
    const before = load.served
    if (upgrade % 2 === 0) await relay.plane.retireAndReplace()
    else {
      await relay.restart(`build ${upgrade}`)
      await relay.plane.setRoute(route)
    }
    await until('the load goes on', () => load.served > before + 100)
    await old.talks(`upgrade ${upgrade}`)
  }
  await load.stop()
  assert.deepEqual(load.failures, [])
  const [first, ...others] = await generations(relay)
  assert.deepEqual([first?.generation, first?.state, first?.build], [1, 'retiring', 'first'])
  assert.deepEqual(
    others.map(({ state, build }) => [state, build]),
    [['serving', 'build 5']],
  )
  old.socket.end()
  await until('the first generation ends', async () => (await generations(relay)).length === 1)
})

test('after a kill -9 the listener survives and new connections are served, without anybody asking', async (t) => {
  const relay = await openRelay(t)
  const route = await routeToEcho(t)
  await relay.plane.setRoute(route)
  const cut = new Client(t, { host: HOST, port: route.listen.port })
  await cut.hears('blue\n')
  for (let round = 0; round < 3; round++) {
    process.kill((await currentOf(relay)).pid, 'SIGKILL')
    await new Client(t, { host: HOST, port: route.listen.port }).hears('blue\n')
  }
  await until('the connection through it is gone', () => cut.ended !== null)
})

test('a relay told to stop gets a successor, and ends with its last connection', async (t) => {
  const relay = await openRelay(t)
  const route = await routeToEcho(t)
  await relay.plane.setRoute(route)
  const old = new Client(t, { host: HOST, port: route.listen.port })
  await old.hears('blue\n')
  const { pid } = await currentOf(relay)
  process.kill(pid, 'SIGTERM')
  await until('it retires', async () => (await generations(relay))[0]?.state === 'retiring')
  const young = new Client(t, { host: HOST, port: route.listen.port })
  assert.deepEqual((await relay.plane.observe()).routes[0]?.target, route.target)
  await young.hears('blue\n')
  await old.talks('still here')
  old.socket.end()
  await until('it has ended', () => processStat(pid) === null || processStat(pid)?.state === 'Z')
  await young.talks('still here')
})

test('an idle relay that is told to stop ends by itself', async (t) => {
  const relay = await openRelay(t)
  await relay.plane.setRoute(await routeToEcho(t))
  const { pid } = await currentOf(relay)
  await relay.plane[Symbol.asyncDispose]()
  process.kill(pid, 'SIGTERM')
  await until('it has ended', () => processStat(pid) === null || processStat(pid)?.state === 'Z')
})

test('a second SIGTERM ends a relay at once, and its connections are reset', async (t) => {
  const relay = await openRelay(t)
  const route = await routeToEcho(t)
  await relay.plane.setRoute(route)
  const client = new Client(t, { host: HOST, port: route.listen.port })
  await client.hears('blue\n')
  const { pid } = await currentOf(relay)
  process.kill(pid, 'SIGTERM')
  await until('it retires', async () => (await generations(relay))[0]?.state === 'retiring')
  process.kill(pid, 'SIGTERM')
  await until('the connection ends', () => client.ended !== null)
  assert.equal(client.ended, 'ECONNRESET')
})

test('out of file descriptors it waits without spinning, still obeys, and resumes', async (t) => {
  const relay = await openRelay(t, ['prlimit', '--nofile=200:200'])
  const route = await routeToEcho(t)
  await relay.plane.setRoute(route)
  const clients = Array.from({ length: 150 }, () => new Client(t, { host: HOST, port: route.listen.port }))
  await until('it is exhausted', async () => (await currentOf(relay)).exhausted)
  await until('all that fit are served', () => clients.filter(({ received }) => received !== '').length >= 50)
  assert.match(readFileSync(relay.logPath, 'utf8'), /out of file descriptors/)

  const { pid } = await currentOf(relay)
  const before = cpuTicks(pid)
  await sleep(500)
  // A hundred ticks a second: a loop that spins would take some fifty.
  assert.ok(cpuTicks(pid) - before < 15, `${cpuTicks(pid) - before} ticks of CPU while it waits`)

  const green = await serve(t, namedEcho('green'))
  await relay.plane.setRoute({ ...route, target: { slot: 'green', host: HOST, port: green.port } })
  const isServedAndGone = (client: Client): boolean => {
    if (client.received !== '') client.socket.destroy()
    return client.socket.destroyed
  }
  await until('all were served', () => clients.filter(isServedAndGone).length === clients.length)
  assert.deepEqual([...new Set(clients.map(({ ended }) => ended))], [null])
  await until('it is no longer exhausted', async () => !(await currentOf(relay)).exhausted)
})

test('ten thousand idle connections cost at most 4 KB of memory each', async (t) => {
  const relay = await openRelay(t)
  const backend = await idleBackend(t)
  const route = routeTo(await freePort(t), backend)
  await relay.plane.setRoute(route)
  const limit = Number(/Max open files\s+\d+\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1])
  const count = Math.min(10_000, Math.floor((limit - 250) / 2))
  const { pid } = await currentOf(relay)
  const residentKb = (): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  const before = residentKb()
  for (let opened = 0; opened < count; opened += 500) {
    openIdle(t, route.listen.port, Math.min(500, count - opened))
    const wanted = Math.min(opened + 500, count)
    await until(
      `${wanted} are connected`,
      async () => (await currentOf(relay)).routes[0]?.connections.blue === wanted,
    )
  }
  const each = (residentKb() - before) / count
  t.diagnostic(`${count} idle connections, ${each.toFixed(2)} KB each, ${residentKb()} KB in all`)
  assert.ok(each <= 4, `${each} KB each`)
})

test('nothing that is sent to the control socket stops the relay', async (t) => {
  const relay = await openRelay(t)
  const route = await routeToEcho(t)
  await relay.plane.setRoute(route)
  const [{ controlPath } = { controlPath: '' }] = await relay.host.running()
  const nonsense = [
    'nonsense\n',
    '{"do":"explode"}\n',
    '[]\nnull\n1\n""\n{}\n',
    '{"do":"apply","listeners":"web"}\n',
    '{"do":"apply","listeners":["web"]}\n',
    '{"do":"listeners","skip":"x"}\n',
    '{"do":"listeners","skip":-5}\n',
    '\0\0\xff\xfe\n',
    'x'.repeat(200_000),
    '{"do":"report"',
  ]
  for (const text of nonsense) {
    const socket = connect(controlPath)
    socket.on('error', () => null)
    await once(socket, 'connect')
    socket.write(text)
    if (text.endsWith('\n')) await once(socket, 'data')
    socket.destroy()
  }
  await new Client(t, { host: HOST, port: route.listen.port }).hears('blue\n')
  assert.equal((await generations(relay)).length, 1)
})

test('fds that are no listening sockets are refused and closed', async (t) => {
  const relay = await openRelay(t)
  const route = await routeToEcho(t)
  await relay.plane.setRoute(route)
  const { pid } = await currentOf(relay)
  const before = openFds(pid)
  const link = await linkTo(relay)
  await assert.rejects(link.apply([{ app: 'web', fd: 1 }]), /Sockets refused: web: .*/)
  await assert.rejects(
    link.apply([
      { app: 'web', fd: 1 },
      { app: 'other', fd: 2 },
    ]),
    /Sockets refused: web: .*, other: .*/,
  )
  link.close()
  const raw = connect((await relay.host.running())[0]?.controlPath ?? '')
  await once(raw, 'connect')
  const { fd } = (raw as unknown as { _handle: { fd: number } })._handle
  sendWithFds(fd, Buffer.from('{"do":"apply","listeners":[]}\n{"do":"hello"}\n'), [0, 1, 2])
  await once(raw, 'data')
  raw.destroy()
  await until('no fd is left behind', () => openFds(pid) <= before)
  await new Client(t, { host: HOST, port: route.listen.port }).hears('blue\n')
})

test('an unreadable routes file leaves the routes as they are', async (t) => {
  const relay = await openRelay(t)
  const route = await routeToEcho(t)
  await relay.plane.setRoute(route)
  const link = await linkTo(relay)
  for (const text of ['', '{"routes":', '[]', '{"routes":[{"app":"web"}]}', '{"routes":[null]}']) {
    writeFileSync(relay.routesPath, text)
    await assert.rejects(link.apply([]))
    await new Client(t, { host: HOST, port: route.listen.port }).hears('blue\n')
  }
  link.close()
  await relay.restart()
  await relay.plane.setRoute(route)
  await new Client(t, { host: HOST, port: route.listen.port }).hears('blue\n')
})

test('a relay started again with a broken routes file waits for its routes', async (t) => {
  const relay = await openRelay(t)
  const route = await routeToEcho(t)
  await relay.plane.setRoute(route)
  writeFileSync(relay.routesPath, 'garbage')
  process.kill((await currentOf(relay)).pid, 'SIGKILL')
  const client = new Client(t, { host: HOST, port: route.listen.port })
  await relay.plane.setRoute(route)
  await client.hears('blue\n')
})

test('a slot port in the ephemeral range that nobody listens on never connects to itself', async (t) => {
  const relay = await openRelay(t)
  const port = 41_236
  const route = { ...routeTo(await freePort(t), port), holdTimeoutMs: 3000 }
  await relay.plane.setRoute(route)
  const clients = Array.from({ length: 100 }, () => new Client(t, { host: HOST, port: route.listen.port }))
  for (const client of clients) client.socket.write('echo?')
  await until('all were given up', () => clients.every(({ ended }) => ended !== null))
  assert.deepEqual([...new Set(clients.map(({ received }) => received))], [''])
})

test('a relay that systemd hands its sockets serves without a daemon', async (t) => {
  const { folder, routesPath } = await openRelay(t)
  const route = await routeToEcho(t)
  writeFileSync(routesPath, JSON.stringify({ routes: [route] }))
  const control = join(folder, 'relay-7.sock')
  const listen = `--listen=${HOST}:${route.listen.port}`
  const [node, ...program] = programArgv('dorc-relay')
  const argv = ['--generation', '7', '--control', control, '--routes', routesPath, '--build', 'x']
  const child = spawn('systemd-socket-activate', [listen, '--fdname=web', node, ...program, ...argv], {
    stdio: 'ignore',
  })
  t.after(() => child.kill('SIGKILL'))
  const client = await connected(t, route.listen.port)
  await client.hears('blue\n')
  const link = new RelayLink(control, () => null)
  const { generation, routes } = await link.report()
  link.close()
  assert.equal(generation, 7)
  assert.deepEqual(routes[0]?.listening, route.listen)
})

/** Tries until somebody listens. */
async function connected(t: TestContext, port: number): Promise<Client> {
  for (;;) {
    const client = new Client(t, { host: HOST, port })
    await until('it is connected or refused', () => client.ended !== null || client.received !== '')
    if (client.ended !== 'ECONNREFUSED') return client
  }
}

/** One connection after the other, eight at a time: connect, hear the name, say something, hear the echo. */
function startLoad(t: TestContext, port: number) {
  const load = { served: 0, failures: [] as string[], stop: async (): Promise<void> => undefined }
  const stopping = new AbortController()
  const one = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const socket = connect({ host: HOST, port })
      const { promise, resolve } = Promise.withResolvers<string | null>()
      let received = ''
      socket.on('error', (error) => resolve(error.message))
      socket.on('end', () => resolve('ended early'))
      socket.on('data', (chunk) => {
        received += chunk.toString()
        if (received === 'blue\nping\n') resolve(null)
      })
      socket.write('ping\n')
      const failure = await promise
      if (failure === null) load.served++
      else load.failures.push(failure)
      socket.destroy()
    }
  }
  const runs = Promise.all(Array.from({ length: 8 }, one))
  load.stop = async () => {
    stopping.abort()
    await runs
  }
  t.after(load.stop)
  return load
}

async function routeToEcho(t: TestContext): Promise<Route> {
  const { port } = await serve(t, namedEcho('blue'))
  return routeTo(await freePort(t), port)
}

function routeTo(listenPort: number, port: number): Route {
  return {
    app: 'web',
    listen: { host: HOST, port: listenPort },
    target: { slot: 'blue', host: HOST, port },
    paused: false,
    holdTimeoutMs: 20_000,
    guardedPorts: [],
  }
}

/** A process of its own that accepts and stays silent, because one process may not have fds enough for both ends. */
async function idleBackend(t: TestContext): Promise<number> {
  const script = `const server = require('node:net').createServer((socket) => socket.on('error', () => {}))
    server.listen({ host: '${HOST}', port: 0, backlog: 4096 }, () => console.log(server.address().port))`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return Number(line.toString())
}

async function linkTo(relay: RelayUnderTest): Promise<RelayLink> {
  const running = await relay.host.running()
  return new RelayLink(running.at(-1)?.controlPath ?? '', () => null)
}

async function generations(relay: RelayUnderTest): Promise<Report[]> {
  const reports: Report[] = []
  for (const { controlPath } of await relay.host.running()) {
    try {
      const link = new RelayLink(controlPath, () => null)
      reports.push(await link.report())
      link.close()
    } catch {
      // It ended meanwhile: that is what some tests wait for.
    }
  }
  return reports
}

async function currentOf(relay: RelayUnderTest): Promise<Report> {
  const report = (await generations(relay)).at(-1)
  if (report === undefined) throw new Error('No relay runs')
  return report
}

/** User and system time in clock ticks (proc(5), stat fields 14 and 15). */
function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return Number(fields[11]) + Number(fields[12])
}

function openFds(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}
