import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  type AddressInfo,
  connect,
  createServer,
  type ListenOptions,
  type Server,
  type Socket,
} from 'node:net'
import { test, type TestContext } from 'node:test'
import { socketsOf } from './proc.ts'
import { countTcpConnections, resetConnection, tcpConnections, tcpListeners } from './sock-diag.ts'

async function mustListen(t: TestContext, options: ListenOptions): Promise<{ server: Server; port: number }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => sockets.add(socket.on('error', () => socket.destroy())))
  server.listen(options)
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { server, port: (server.address() as AddressInfo).port }
}

test('tcpListeners() tells address, family, owner and inode of each listening socket', async (t) => {
  const cases: [ListenOptions, string, boolean][] = [
    [{ host: '127.0.0.1', port: 0 }, '127.0.0.1', false],
    [{ host: '0.0.0.0', port: 0 }, '0.0.0.0', false],
    [{ host: '::', port: 0 }, '::', false],
    [{ host: '::', port: 0, ipv6Only: true }, '::', true],
  ]
  for (const [options, address, isV6Only] of cases) {
    const { port } = await mustListen(t, options)
    const [found, ...others] = tcpListeners(port)
    assert.deepEqual(others, [])
    assert.ok(found)
    assert.deepEqual(
      { address: found.address, port: found.port, isV6Only: found.isV6Only, uid: found.uid },
      { address, port, isV6Only, uid: process.getuid?.() },
    )
    assert.ok([...socketsOf(process.pid).values()].includes(found.inode), 'the inode is the one in /proc')
  }
  const [loopback] = tcpListeners((await mustListen(t, { host: '::1', port: 0 })).port)
  assert.equal(loopback?.address, '::1')
})

test('tcpListeners() without a port lists all of them, and none for a port that is closed', async (t) => {
  const { server, port } = await mustListen(t, { host: '127.0.0.1', port: 0 })
  assert.ok(tcpListeners().some((listener) => listener.port === port))
  server.close()
  await once(server, 'close')
  assert.deepEqual(tcpListeners(port), [])
})

test('the accept queue grows with connections that nobody accepts', async (t) => {
  const { server, port } = await mustListen(t, { host: '127.0.0.1', port: 0, backlog: 7 })
  // Node accepts as soon as its loop turns: connect and look within one turn.
  assert.equal(tcpListeners(port)[0]?.acceptQueue, 0)
  assert.equal(tcpListeners(port)[0]?.backlog, 7)
  const client = connect({ host: '127.0.0.1', port })
  t.after(() => client.destroy())
  const deadline = performance.now() + 5_000
  while (tcpListeners(port)[0]?.acceptQueue === 0 && performance.now() < deadline)
    await new Promise((resolve) => process.nextTick(resolve))
  assert.equal(tcpListeners(port)[0]?.acceptQueue, 1)
  await once(server, 'connection')
  assert.equal(tcpListeners(port)[0]?.acceptQueue, 0)
})

test('tcpConnections() sees both ends of nothing but the port that was asked for', async (t) => {
  const { port } = await mustListen(t, { host: '::', port: 0 })
  const other = await mustListen(t, { host: '127.0.0.1', port: 0 })
  const clients = ['127.0.0.1', '::1'].map((host) => connect({ host, port }))
  clients.push(connect({ host: '127.0.0.1', port: other.port }))
  for (const client of clients) client.on('error', () => client.destroy())
  t.after(() => clients.forEach((client) => client.destroy()))
  await Promise.all(clients.map((client) => once(client, 'connect')))
  const found = new Map(
    tcpConnections(port).map((one) => [one.localAddress, [one.peerAddress, one.peerPort]]),
  )
  assert.deepEqual(found.get('127.0.0.1'), ['127.0.0.1', clients[0]?.localPort])
  assert.deepEqual(found.get('::1'), ['::1', clients[1]?.localPort])
  assert.equal(countTcpConnections(port), 2)
  assert.equal(countTcpConnections(1), 0)
})

test('tcpConnections() counts the bytes of each way', async (t) => {
  const { server, port } = await mustListen(t, { host: '127.0.0.1', port: 0 })
  server.on('connection', (socket) => socket.once('data', () => socket.write('x'.repeat(2_000))))
  const client = connect({ host: '127.0.0.1', port })
  t.after(() => client.destroy())
  client.write('x'.repeat(300))
  await once(client, 'data')
  const deadline = performance.now() + 5_000
  while (tcpConnections(port)[0]?.bytesSent !== 2_000 && performance.now() < deadline)
    await new Promise((resolve) => setImmediate(resolve))
  const [found] = tcpConnections(port)
  assert.equal(found?.bytesSent, 2_000)
  assert.equal(found?.bytesReceived, 300)
})

test('a connection that is reset breaks at both ends, and no other does', async (t) => {
  if (process.getuid?.() !== 0) return assert.throws(() => resetConnection(unknown), { code: 'EPERM' })
  const { server, port } = await mustListen(t, { host: '::', port: 0 })
  const accepted: Socket[] = []
  server.on('connection', (socket) => accepted.push(socket))
  const [doomed, spared] = ['127.0.0.1', '127.0.0.1'].map((host) => connect({ host, port }))
  assert.ok(doomed && spared)
  t.after(() => spared.destroy())
  await Promise.all([once(doomed, 'connect'), once(spared, 'connect')])
  const found = tcpConnections(port).find(({ peerPort }) => peerPort === doomed.localPort)
  assert.ok(found)
  const ended = once(doomed, 'error')
  assert.equal(resetConnection(found.socketId), true)
  const [error] = await ended
  assert.equal((error as NodeJS.ErrnoException).code, 'ECONNRESET')
  assert.equal(resetConnection(found.socketId), false)
  assert.equal(countTcpConnections(port), 1)
})

const unknown = { family: 2, bytes: Buffer.alloc(48) }
