import assert from 'node:assert/strict'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { Slot } from '../core/app.ts'
import type { Connection } from '../dataplane/dataplane.ts'
import { stdoutLogger } from '../platform/log.ts'
import { SwitchWitness } from './switch-witness.ts'

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'

/** An app, and a data plane which says that this slot has every connection of it. */
async function mustServe(t: TestContext, slot: Slot | null, onRequest: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', () => onRequest(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const connections = (): Promise<readonly Connection[]> =>
    Promise.resolve(slot === null ? [] : [...sockets].map((socket) => connectionOf(socket, slot)))
  const { port } = server.address() as AddressInfo
  return new SwitchWitness(
    {
      app: 'web',
      from: 'blue',
      to: 'green',
      listen: { host: '0.0.0.0', port },
      request: { path: '/', host: null },
      patienceMs: 300,
    },
    {
      dataPlane: { connections, observe: () => Promise.resolve({ routes: [] }) },
      log: stdoutLogger(),
    },
  )
}

const connectionOf = ({ remotePort = 0 }: Socket, slot: Slot): Connection => ({
  id: String(remotePort),
  slot,
  via: 'relay',
  peer: { host: '::ffff:127.0.0.1', port: remotePort },
  ageMs: 0,
  bytesIn: 0,
  bytesOut: 0,
  process: null,
})

test('a witness says which slot took a connection that was made after the switch', async (t) => {
  for (const slot of ['green', 'blue'] as const) {
    const witness = await mustServe(t, slot, (socket) => socket.end(ANSWER))
    const { reached, reachedAt, failed, tried } = await witness.conclude()
    assert.deepEqual([reached, failed], [slot, 0])
    assert.ok(tried >= 10 && reachedAt !== null)
  }
})

test('a witness claims no slot if none is seen to take the connection', async (t) => {
  const witness = await mustServe(t, null, (socket) => socket.end(ANSWER))
  const { reached, reachedAt, left } = await witness.conclude()
  assert.deepEqual([reached, reachedAt, left], [null, null, null])
})

test('a witness gives a hanging app up after a few seconds, and says so', async (t) => {
  const witness = await mustServe(t, 'green', () => undefined)
  const { tried, failed, firstFailure, worstStallMs } = await witness.conclude()
  assert.ok(tried > 0 && tried < 15, `${tried} tried`)
  assert.deepEqual([failed, firstFailure], [tried, 'no answer in 300 ms'])
  assert.ok(worstStallMs >= 299)
})

test('a witness that is stopped ends at once, with what it has seen until then', async (t) => {
  const witness = await mustServe(t, null, () => undefined)
  const concluding = witness.conclude()
  witness.stop()
  assert.equal((await concluding).reached, null)
})
