import assert from 'node:assert/strict'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { after, describe, test } from 'node:test'
import type { Visit } from '../core/receipt.ts'
import { addressesOf, visit } from './visit.ts'

const servers: Server[] = []
after(() => servers.forEach((server) => server.close()))

const NEVER = new AbortController().signal
const root = { path: '/', host: null }

async function mustListen(server: Server, host = '127.0.0.1'): Promise<{ host: string; port: number }> {
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  return { host, port: (server.address() as AddressInfo).port }
}

const serving = (onConnection: (socket: Socket) => void): Server =>
  createServer((socket) => {
    socket.on('error', () => socket.destroy())
    onConnection(socket)
  })

const outcomeOf = ({ outcome, detail }: Visit): [string, string] => [outcome, detail]

describe('a visit', () => {
  test('of an app that speaks HTTP is answered by whatever status, and asks for path and host', async () => {
    const asked: (string | undefined)[] = []
    const address = await mustListen(
      createHttpServer((request, response) => {
        asked.push(request.url, request.headers.host)
        response.writeHead(503).end('later')
      }),
    )
    const request = { path: '/healthz', host: 'web.example' }
    const { outcome, tookMs } = await visit(address, { request, timeoutMs: 5_000, signal: NEVER })
    assert.deepEqual([outcome, ...asked], ['answered', '/healthz', 'web.example'])
    assert.ok(tookMs > 0)
  })

  test('over IPv6 names the address in brackets', async () => {
    const asked: (string | undefined)[] = []
    const server = createHttpServer((request, response) => {
      asked.push(request.headers.host)
      response.end()
    })
    const address = await mustListen(server, '::1')
    const { outcome } = await visit(address, { request: root, timeoutMs: 5_000, signal: NEVER })
    assert.deepEqual([outcome, asked], ['answered', [`[::1]:${address.port}`]])
  })

  for (const [what, onConnection, detail] of [
    ['closes before an answer', (socket: Socket) => socket.end(), 'connection closed without an answer'],
    [
      'resets before an answer',
      (socket: Socket) => socket.once('data', () => socket.resetAndDestroy()),
      'connection reset',
    ],
    ['says nothing', () => undefined, 'no answer in 50 ms'],
  ] as const) {
    test(`fails if the app ${what}`, async () => {
      const address = await mustListen(serving(onConnection))
      const made = await visit(address, { request: root, timeoutMs: 50, signal: NEVER })
      assert.deepEqual(outcomeOf(made), ['failed', detail])
    })
  }

  test('fails if nobody listens', async () => {
    const server = serving(() => undefined)
    const address = await mustListen(server)
    await new Promise((resolve) => server.close(resolve))
    const made = await visit(address, { request: null, timeoutMs: 5_000, signal: NEVER })
    assert.deepEqual(outcomeOf(made), ['failed', 'connection refused'])
  })

  test('without a request ends with the connection, though the app is silent', async () => {
    const address = await mustListen(serving(() => undefined))
    const { outcome } = await visit(address, { request: null, timeoutMs: 5_000, signal: NEVER })
    assert.equal(outcome, 'answered')
  })

  test('that is called off counts as none', async () => {
    const address = await mustListen(serving(() => undefined))
    const controller = new AbortController()
    const visiting = visit(address, { request: root, timeoutMs: 60_000, signal: controller.signal })
    controller.abort()
    assert.equal((await visiting).outcome, 'untried')
  })

  test('goes to a wildcard over loopback, in both families if it is that of IPv6', () => {
    const hostsOf = (host: string): string[] => addressesOf({ host, port: 80 }).map((one) => one.host)
    assert.deepEqual(
      [hostsOf('0.0.0.0'), hostsOf('::'), hostsOf('10.0.0.1')],
      [['127.0.0.1'], ['127.0.0.1', '::1'], ['10.0.0.1']],
    )
  })
})
