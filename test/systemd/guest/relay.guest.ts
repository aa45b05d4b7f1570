import assert from 'node:assert/strict'
import { closeSync, mkdirSync, readdirSync, readlinkSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { ListenAddress } from '../../../src/core/definition.ts'
import { RelayLink } from '../../../src/dataplane/relay/relay-link.ts'
import { writeRoutes } from '../../../src/dataplane/relay/routes-file.ts'
import { installBuild, sourceOfThisBuild } from '../../../src/setup/installed-build.ts'
import { ownUnits, RELAY_TEMPLATE, PLACEHOLDER_TEMPLATE } from '../../../src/setup/units.ts'
import { openSystemd, type Systemd } from '../../../src/supervisor/systemd/systemd.ts'
import { SystemdListeners } from '../../../src/supervisor/systemd/systemd-listeners.ts'
import { relayUnitName, SystemdRelayHost } from '../../../src/supervisor/systemd/systemd-relay-host.ts'
import { UnitFiles } from '../../../src/supervisor/systemd/unit-files.ts'

/** Public sockets and relays without a daemon; runs inside the machine: see ../relay.test.ts. */
const unitDir = '/etc/systemd/system'
const routesPath = '/run/dorc/relay/routes.json'
const backendPort = 22_001

let systemd: Systemd
let listeners: SystemdListeners
let host: SystemdRelayHost
/** Clients of the present test: a relay waits for each of them before it ends. */
const clients = new Set<Socket>()
const backend = createServer((socket) => {
  socket.on('error', () => undefined)
  socket.on('data', (data) => socket.write(`backend: ${data.toString()}`))
}).listen(backendPort, '127.0.0.1')

before(async () => {
  const units = ownUnits(await installBuild(sourceOfThisBuild()))
  const files = new UnitFiles(unitDir)
  for (const name of [RELAY_TEMPLATE, PLACEHOLDER_TEMPLATE]) await files.write(name, units[name] ?? '')
  systemd = await openSystemd()
  await systemd.reload()
  listeners = new SystemdListeners({ systemd, unitDir })
  host = new SystemdRelayHost({ systemd, unitDir })
  mkdirSync('/run/dorc/relay', { recursive: true, mode: 0o755 })
})

afterEach(() => {
  for (const client of clients) client.destroy()
  clients.clear()
})

after(async () => {
  for (const { generation } of await host.running()) await end(generation)
  await systemd[Symbol.asyncDispose]()
  backend.close()
})

test('an opened address listens in process 1 before any relay runs, and its copy is ready for one', async () => {
  const fd = await mustOpen('web', at(8080))
  const flags = /^flags:\s+(\d+)/m.exec(await readFile(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? ''
  assert.equal(Number.parseInt(flags, 8) & 0o2004000, 0o2004000, 'neither close-on-exec nor non-blocking')
  closeSync(fd)
  await mustConnect(8080)
})

test('opening an open address gives the same socket, and starts nothing anew', async () => {
  const since = (await systemd.properties('dorc-listen-web.socket')).time('ActiveEnterTimestamp')
  const [one, other] = [await mustOpen('web', at(8080)), await mustOpen('web', at(8080))]
  assert.equal(readlinkSync(`/proc/self/fd/${one}`), readlinkSync(`/proc/self/fd/${other}`))
  assert.equal((await systemd.properties('dorc-listen-web.socket')).time('ActiveEnterTimestamp'), since)
  closeSync(one)
  closeSync(other)
})

test('an address that somebody holds is refused with his name, and nothing changes', async () => {
  const squatter = createServer().listen(8081, '127.0.0.1')
  await assert.rejects(mustOpen('api', at(8081)), {
    code: 'PORT_TAKEN',
    message: new RegExp(`\\(pid ${process.pid}, user root\\) holds the port`),
  })
  squatter.close()
  assert.ok(!readdirSync(unitDir).includes('dorc-listen-api.socket'))
})

test('an address of another host is refused', async () => {
  await assert.rejects(mustOpen('api', { host: '192.0.2.1', port: 8081 }), {
    code: 'DATA_PLANE_FAILED',
    hint: /none of this host/,
  })
})

test('[::] takes IPv4, too; another IPv6 address only its own', async () => {
  closeSync(await mustOpen('six', { host: '::', port: 8086 }))
  await mustConnect(8086, '127.0.0.1')
  await mustConnect(8086, '::1')
  closeSync(await mustOpen('six', { host: '0:0:0:0:0:0:0:1', port: 8087 }))
  await mustConnect(8087, '::1')
  await assert.rejects(mustConnect(8087, '127.0.0.1'), { code: 'ECONNREFUSED' })
})

test('an app that gets another address leaves the old one', async () => {
  await assert.rejects(mustConnect(8086, '::1'), { code: 'ECONNREFUSED' })
})

test('a relay is given all public sockets by systemd, and serves without a daemon', async () => {
  await route(['web', 8080], ['six', 8087])
  await host.start(1)
  assert.deepEqual(await host.running(), [{ generation: 1, controlPath: '/run/dorc-relay/1/control.sock' }])
  await mustAnswer(8080)
})

test('a relay runs without privileges', async () => {
  const { pid } = await hello(1)
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  assert.match(status, /^CapEff:\s+0+$/m)
  assert.match(status, /^NoNewPrivs:\s+1$/m)
  assert.doesNotMatch(status, /^Uid:\s+0\s/m)
})

test('a killed relay is back by itself with all sockets, and refuses nobody meanwhile', async () => {
  const before = await hello(1)
  process.kill(before.pid, 'SIGKILL')
  for (let count = 0; count < 20; count++) await mustAnswer(8080)
  assert.notEqual((await hello(1)).pid, before.pid)
})

test('a relay that crashes again and again never closes the public port', async () => {
  for (let count = 0; count < 10; count++) {
    const { pid } = await untilHello(1)
    process.kill(pid, 'SIGKILL')
    await mustConnect(8080)
  }
  await mustAnswer(8080)
})

test('the socket of a new app reaches a relay that runs', async () => {
  const fd = await mustOpen('new', at(8090))
  await route(['web', 8080], ['six', 8087], ['new', 8090])
  const link = new RelayLink('/run/dorc-relay/1/control.sock', () => null)
  await link.apply([{ app: 'new', fd }])
  link.close()
  closeSync(fd)
  await mustAnswer(8090)
})

test('stopping a relay cuts no connection, and its successor takes all new ones', async () => {
  const old = await mustAnswer(8080)
  await host.start(2)
  const stopped = systemd.runJob('StopUnit', relayUnitName(1))
  await until('the first one has closed its sockets', async () => (await hello(1)).state === 'retiring')
  for (let count = 0; count < 20; count++) (await mustAnswer(8080)).destroy()
  await mustEcho(old, 'still there?')
  assert.deepEqual(
    (await host.running()).map(({ generation }) => generation),
    [1, 2],
  )
  old.destroy()
  assert.equal(await stopped, 'done')
  assert.deepEqual(
    (await host.running()).map(({ generation }) => generation),
    [2],
  )
})

test('only the newest relay is started at boot', () => {
  const wanted = readdirSync(`${unitDir}/multi-user.target.wants`).filter((name) =>
    name.startsWith('dorc-relay'),
  )
  assert.deepEqual(wanted, ['dorc-relay@2.service'])
})

test('a closed address is free, and relays are no longer given it', async () => {
  await listeners.close('new')
  await listeners.close('new')
  assert.ok(!readdirSync(unitDir).includes('dorc-listen-new.socket'))
  const dropIn = await readFile(`${unitDir}/dorc-relay@.service.d/sockets.conf`, 'utf8')
  assert.doesNotMatch(dropIn, /dorc-listen-new/)
  assert.match(dropIn, /Sockets=dorc-listen-web\.socket/)
})

async function mustOpen(app: string, listen: ListenAddress): Promise<number> {
  const fd = await listeners.open(app, listen)
  assert.notEqual(fd, null)
  return fd ?? -1
}

function at(port: number): ListenAddress {
  return { host: '0.0.0.0', port }
}

async function route(...apps: readonly [app: string, port: number][]): Promise<void> {
  await writeRoutes(
    routesPath,
    apps.map(([app, port]) => ({
      app,
      listen: at(port),
      target: { slot: 'blue', host: '127.0.0.1', port: backendPort },
      paused: false,
      holdTimeoutMs: 10_000,
      guardedPorts: [],
    })),
  )
}

async function hello(generation: number): Promise<{ pid: number; state: string }> {
  const link = new RelayLink(`/run/dorc-relay/${generation}/control.sock`, () => null)
  try {
    return await link.hello()
  } finally {
    link.close()
  }
}

async function untilHello(generation: number): Promise<{ pid: number }> {
  let answer: { pid: number } | null = null
  await until('the relay answers', async () => {
    answer = await hello(generation).catch(() => null)
    return answer !== null
  })
  assert.ok(answer !== null)
  return answer
}

async function end(generation: number): Promise<void> {
  await systemd.terminate(relayUnitName(generation))
  await systemd.runJob('StopUnit', relayUnitName(generation))
}

function mustConnect(port: number, address = '127.0.0.1'): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, address)
    socket.once('error', reject)
    socket.once('connect', () => resolve(socket))
    clients.add(socket)
  })
}

/** Connects and has one answer; the connection stays open. */
async function mustAnswer(port: number): Promise<Socket> {
  const socket = await mustConnect(port)
  await mustEcho(socket, 'hello')
  return socket
}

async function mustEcho(socket: Socket, text: string): Promise<void> {
  const answer = new Promise<string>((resolve, reject) => {
    socket.once('data', (data) => resolve(data.toString()))
    socket.once('close', () => reject(new Error('The connection was cut')))
  })
  socket.write(text)
  assert.equal(await answer, `backend: ${text}`)
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000
  while (!(await isSo())) {
    assert.ok(performance.now() < deadline, `Gave up waiting until ${what}`)
    await pause(20)
  }
}
