import { test } from 'node:test'
import assert from 'node:assert/strict'
import { openRelay } from '../contract/dataplanes.ts'
import { Client, namedEcho, serve, until } from '../contract/tcp-peers.ts'

/** Run by relay-ports.test.ts in a network namespace with 50 ephemeral ports. */
test('more connections than ephemeral ports use other source addresses', async (t) => {
  const relay = await openRelay(t)
  await serve(t, namedEcho('blue'), { port: 8081 })
  await relay.plane.setRoute({
    app: 'web',
    listen: { host: '0.0.0.0', port: 8080 },
    target: { slot: 'blue', host: '127.0.0.1', port: 8081 },
    paused: false,
    holdTimeoutMs: 20_000,
    guardedPorts: [],
  })
  // Towards three addresses of the relay there are 50 ports each; from it to the slot 50 in all.
  const clients = ['127.0.0.1', '127.0.0.2', '127.0.0.3'].flatMap((host) =>
    Array.from({ length: 45 }, () => new Client(t, { host, port: 8080 })),
  )
  await until('all are served', () => clients.every(({ received }) => received === 'blue\n'))
  const { routes } = await relay.plane.observe()
  assert.equal(routes[0]?.connections.blue, 135)
})
