import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { before, test, type TestContext } from 'node:test'
import type { ListenAddress } from '../../src/core/definition.ts'
import { withAppListener } from '../../src/dataplane/steering/app-listener.ts'
import { closeKernel, openKernel } from '../../src/dataplane/steering/kernel.ts'
import { SteeringTable } from '../../src/dataplane/steering/steering-table.ts'
import { connectOtherHost, enterOwnNetwork, run } from './network.ts'

/** The program itself, without a relay: what it takes, what it leaves alone, what it drops. */
before(enterOwnNetwork)

function openTable(t: TestContext): SteeringTable {
  const kernel = openKernel(null)
  t.after(() => closeKernel(kernel))
  return new SteeringTable(kernel.maps)
}

/** A server that says its name and the address of its client to everybody. */
async function serve(t: TestContext, name: string, { host = '127.0.0.1', port = 0, ipv6Only = false } = {}) {
  const server: Server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.end(`${name} ${socket.remoteAddress?.replace('::ffff:', '')}`)
  })
  server.listen({ host, port, ipv6Only })
  await once(server, 'listening')
  t.after(() => server.close())
  return { host, port: (server.address() as AddressInfo).port }
}

/** What a client at this host is told, or its error's code. */
async function ask(host: string, port: number): Promise<string> {
  const socket = connect({ host, port })
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  try {
    await once(socket, 'close')
    return text
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

function steer(table: SteeringTable, listen: ListenAddress, to: ListenAddress) {
  const number = table.add(listen)
  return withAppListener([process.pid], { listen, target: { slot: 'blue', ...to } }, (fd) =>
    table.point(number, fd),
  )
}

test('a connection to a public address lands in the socket that the route points at', async (t) => {
  const table = openTable(t)
  const [blue, green] = [await serve(t, 'blue'), await serve(t, 'green')]
  const listen = { host: '127.0.0.1', port: 8080 }
  assert.equal(await ask('127.0.0.1', 8080), 'ECONNREFUSED')
  assert.equal(steer(table, listen, blue).kind, 'fit')
  assert.match(await ask('127.0.0.1', 8080), /^blue/)
  steer(table, listen, green)
  assert.match(await ask('127.0.0.1', 8080), /^green/)
  table.unpoint(table.add(listen))
  assert.equal(await ask('127.0.0.1', 8080), 'ECONNREFUSED')
})

test('an exact address comes before a wildcard, and families are apart', async (t) => {
  const table = openTable(t)
  run('ip addr add 10.1.1.1/32 dev lo; ip addr add 10.1.1.2/32 dev lo')
  const servers = Object.fromEntries(
    await Promise.all(
      ['any', 'one', 'six'].map(async (name) => [name, await serve(t, name, { host: '::' })] as const),
    ),
  )
  steer(table, { host: '0.0.0.0', port: 81 }, { host: '127.0.0.1', port: servers['any']?.port ?? 0 })
  steer(table, { host: '10.1.1.1', port: 81 }, { host: '127.0.0.1', port: servers['one']?.port ?? 0 })
  steer(table, { host: '::1', port: 81 }, { host: '127.0.0.1', port: servers['six']?.port ?? 0 })
  assert.match(await ask('10.1.1.1', 81), /^one/)
  assert.match(await ask('10.1.1.2', 81), /^any/)
  assert.match(await ask('127.0.0.1', 81), /^any/)
  assert.match(await ask('::1', 81), /^six/)
  assert.equal(await ask('127.0.0.1', 82), 'ECONNREFUSED')
})

test('[::] takes both families to a dual-stack listener', async (t) => {
  const table = openTable(t)
  const app = await serve(t, 'app', { host: '::' })
  steer(table, { host: '::', port: 83 }, { host: '127.0.0.1', port: app.port })
  assert.match(await ask('127.0.0.1', 83), /^app/)
  assert.match(await ask('::1', 83), /^app/)
})

test('what the listener cannot take goes the ordinary way', async (t) => {
  const table = openTable(t)
  const app = await serve(t, 'app')
  const relay = await serve(t, 'relay', { host: '::', port: 84 })
  const found = steer(table, { host: '::', port: relay.port }, app)
  assert.deepEqual(
    found.kind === 'fit' && found.exception,
    'it does not listen for IPv6: those clients take the relay',
  )
  assert.match(await ask('127.0.0.1', 84), /^app/)
  assert.match(await ask('::1', 84), /^relay/)
})

test('an IPv6-only listener is not steered to for IPv4 clients', async (t) => {
  const table = openTable(t)
  const app = await serve(t, 'app', { host: '::', ipv6Only: true })
  const found = steer(table, { host: '0.0.0.0', port: 85 }, { host: '::1', port: app.port })
  assert.deepEqual(found, { kind: 'unfit', reason: 'it does not listen for IPv4' })
})

test('a listener that closes leaves the table by itself, and its address to whoever listens there', async (t) => {
  const table = openTable(t)
  const relay = await serve(t, 'relay', { port: 86 })
  const server = createServer((socket) => socket.end('app'))
  server.listen({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  steer(table, relay, { host: '127.0.0.1', port })
  assert.equal(await ask('127.0.0.1', 86), 'app')
  server.close()
  await once(server, 'close')
  assert.equal(table.pointedAt(table.add(relay)), null)
  assert.match(await ask('127.0.0.1', 86), /^relay/)
})

test('a slot port is closed to other hosts, and open to this one under every address of its own', async (t) => {
  const table = openTable(t)
  const other = connectOtherHost(t)
  const app = await serve(t, 'app', { host: '::', port: 21235 })
  const curl = async (url: string): Promise<string> =>
    (await other.run(['sh', '-c', `curl -sg --http0.9 --max-time 20 ${url} || echo " status $?"`])).trim()
  assert.match(await curl('http://10.77.0.1:21235/'), /^app 10\.77\.0\.2/)
  table.guard([app.port])
  assert.equal(await curl('http://10.77.0.1:21235/'), 'status 7')
  assert.equal(await curl('http://[fd77::1]:21235/'), 'status 7')
  for (const host of ['127.0.0.1', '10.77.0.1', '::1', 'fd77::1'])
    assert.match(await ask(host, app.port), /^app/, host)
  table.guard([])
  assert.match(await curl('http://[fd77::1]:21235/'), /^app fd77::2/)
})

test('an app on loopback sees the real address of a client of another host', async (t) => {
  const table = openTable(t)
  const other = connectOtherHost(t)
  const app = await serve(t, 'app')
  steer(table, { host: '0.0.0.0', port: 8080 }, app)
  assert.match(await other.run(['curl', '-s', '--http0.9', 'http://10.77.0.1:8080/']), /^app 10\.77\.0\.2/)
  const six = await serve(t, 'six', { host: '::1' })
  steer(table, { host: 'fd77::1', port: 8080 }, six)
  assert.match(await other.run(['curl', '-sg', '--http0.9', 'http://[fd77::1]:8080/']), /^six fd77::2/)
})

test('MPTCP listeners are told apart, for the kernel cannot be given them', async (t) => {
  const table = openTable(t)
  const script =
    'import socket,time; s=socket.socket(socket.AF_INET,socket.SOCK_STREAM,262); s.bind(("127.0.0.1",21299)); s.listen(); print("up",flush=True); time.sleep(100)'
  const { spawn } = await import('node:child_process')
  const app = spawn('python3', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => app.kill('SIGKILL'))
  await once(app.stdout, 'data')
  const listen = { host: '127.0.0.1', port: 87 }
  const number = table.add(listen)
  const target = { slot: 'blue' as const, host: '127.0.0.1', port: 21299 }
  const found = withAppListener([app.pid ?? 0], { listen, target }, (fd) => table.point(number, fd))
  assert.match(found.kind === 'unfit' ? found.reason : found.kind, /MPTCP \(Go: GODEBUG=multipathtcp=0/)
})
