import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { tcpListeners } from '../platform/sock-diag.ts'
import { probeCommand } from './command-probe.ts'
import { type HttpProbe, probeHttp } from './http-probe.ts'
import { isSelfConnected, probeTcp } from './tcp-probe.ts'

const TIMEOUT_MS = 5_000

async function mustServe(t: TestContext, server: net.Server, host = '127.0.0.1'): Promise<number> {
  const sockets = new Set<net.Socket>()
  server.on('connection', (socket: net.Socket) => sockets.add(socket.on('error', () => socket.destroy())))
  server.listen({ host, port: 0 })
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

const request = (port: number, changes: Partial<HttpProbe> = {}): HttpProbe => ({
  host: '127.0.0.1',
  port,
  path: '/',
  expectedStatus: null,
  hostHeader: null,
  timeoutMs: TIMEOUT_MS,
  ...changes,
})

test('an HTTP probe passes on any status below 500, redirects too, or on the one that is wanted', async (t) => {
  const port = await mustServe(
    t,
    http.createServer((incoming, response) => {
      response.writeHead(Number(incoming.url?.slice(1)), { location: 'http://127.0.0.1:1/' })
      response.end('body')
    }),
  )
  const cases: [string, number | null, boolean, RegExp][] = [
    ['/200', null, true, /^HTTP 200 in [\d.]+ ms$/],
    ['/302', null, true, /^HTTP 302 in /],
    ['/404', null, true, /^HTTP 404 in /],
    ['/500', null, false, /^HTTP 500, wanted below 500$/],
    ['/204', 204, true, /^HTTP 204 in /],
    ['/200', 204, false, /^HTTP 200, wanted 204$/],
    ['/503', 503, true, /^HTTP 503 in /],
  ]
  for (const [path, expectedStatus, ok, detail] of cases) {
    const result = await probeHttp(request(port, { path, expectedStatus }))
    assert.equal(result.ok, ok, path)
    assert.match(result.detail, detail)
    assert.equal(result.speaksHttp, true)
  }
})

test('an HTTP probe sends the host header that the app wants', async (t) => {
  const server = http.createServer((incoming, response) => {
    response.writeHead(incoming.headers.host === 'www.example.org' ? 200 : 421).end()
  })
  const port = await mustServe(t, server)
  const wanted = request(port, { expectedStatus: 200 })
  assert.equal((await probeHttp(wanted)).ok, false)
  assert.equal((await probeHttp({ ...wanted, hostHeader: 'www.example.org' })).ok, true)
})

test('an HTTP probe ends an answer that never ends', async (t) => {
  const closed = Promise.withResolvers<void>()
  const server = http.createServer((_incoming, response) => {
    response.on('close', closed.resolve)
    const more = (): void => {
      if (!response.destroyed && response.write(Buffer.alloc(65_536))) setImmediate(more)
      else response.once('drain', more)
    }
    more()
  })
  const result = await probeHttp(request(await mustServe(t, server)))
  assert.match(result.detail, /^HTTP 200 in /)
  await closed.promise
})

test('an HTTP probe tells a refusal from silence and from another protocol', async (t) => {
  const silent = await mustServe(t, net.createServer())
  const late = await probeHttp(request(silent, { timeoutMs: 100 }))
  assert.deepEqual(late, { ok: false, detail: 'no answer in 100 ms', speaksHttp: null })

  const redis = net.createServer((socket) =>
    socket.on('data', () => socket.write("-ERR unknown command 'GET'\r\n")),
  )
  const other = await probeHttp(request(await mustServe(t, redis)))
  assert.deepEqual(other, { ok: false, detail: 'does not speak HTTP', speaksHttp: false })

  const rude = net.createServer((socket) => socket.once('data', () => socket.destroy()))
  const hungUp = await probeHttp(request(await mustServe(t, rude)))
  assert.deepEqual(hungUp, { ok: false, detail: 'connection closed without an answer', speaksHttp: false })

  const closing = net.createServer()
  const port = await mustServe(t, closing)
  closing.close()
  const refused = await probeHttp(request(port))
  assert.deepEqual(refused, { ok: false, detail: 'connection refused', speaksHttp: null })
})

test('a TCP probe passes when the app accepts, on IPv6 too', async (t) => {
  for (const host of ['127.0.0.1', '::1']) {
    const port = await mustServe(t, net.createServer(), host)
    const acceptQueue = (): number => tcpListeners(port)[0]?.acceptQueue ?? 0
    const result = await probeTcp({ host, port, timeoutMs: TIMEOUT_MS, acceptQueue })
    assert.match(result.detail, /^tcp connect in [\d.]+ ms$/)
    assert.equal(result.ok, true)
  }
})

test('a TCP probe fails while nobody accepts, although the kernel completes the handshake', async (t) => {
  const port = await mustServe(t, net.createServer())
  const result = await probeTcp({ host: '127.0.0.1', port, timeoutMs: 100, acceptQueue: () => 3 })
  assert.deepEqual(result, { ok: false, detail: 'accepts no connections: 3 wait since 100 ms' })
})

test('a TCP probe passes while the queue is never empty but moves', async (t) => {
  const port = await mustServe(t, net.createServer())
  const lengths = [5, 6, 7, 6]
  const acceptQueue = (): number => lengths.shift() ?? 7
  const result = await probeTcp({ host: '127.0.0.1', port, timeoutMs: TIMEOUT_MS, acceptQueue })
  assert.equal(result.ok, true)
})

test('a connection that met itself is told from an ordinary one', async (t) => {
  const closing = net.createServer()
  const port = await mustServe(t, closing)
  closing.close()
  await once(closing, 'close')
  const self = net.connect({ host: '127.0.0.1', port, localPort: port })
  await once(self, 'connect')
  assert.equal(isSelfConnected(self), true)
  self.destroy()
  const server = await mustServe(t, net.createServer())
  const ordinary = net.connect({ host: '127.0.0.1', port: server })
  await once(ordinary, 'connect')
  assert.equal(isSelfConnected(ordinary), false)
  ordinary.destroy()
})

test('a command probe runs in the slot’s directory with its environment and tells its last line', async () => {
  const probe = {
    command: ['/bin/sh', '-c', 'echo "$PWD $MOOD"; exit "$STATUS"'],
    workingDir: '/usr',
    pid: process.pid,
    timeoutMs: TIMEOUT_MS,
  }
  const good = await probeCommand({ ...probe, environment: { MOOD: 'fine', STATUS: '0' } })
  assert.equal(good.ok, true)
  assert.match(good.detail, /^exit status 0 in [\d.]+ ms: \/usr fine$/)
  const bad = await probeCommand({ ...probe, environment: { MOOD: 'bad', STATUS: '2' } })
  assert.deepEqual(bad, { ok: false, detail: 'exit status 2: /usr bad' })
  const missing = await probeCommand({ ...probe, command: ['/no/such/program'], environment: {} })
  assert.equal(missing.ok, false)
})

test('a command probe has no more rights than the app', { skip: process.geteuid?.() !== 0 }, async (t) => {
  const app = spawn('/bin/sleep', ['600'], { uid: 65_534, gid: 65_534 })
  t.after(() => app.kill('SIGKILL'))
  await once(app, 'spawn')
  const result = await probeCommand({
    command: ['/bin/sh', '-c', 'echo "$(id -u) $(id -G)"'],
    workingDir: '/',
    environment: {},
    pid: app.pid ?? 0,
    timeoutMs: TIMEOUT_MS,
  })
  assert.match(result.detail, /: 65534 65534$/)
})
