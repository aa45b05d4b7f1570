import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { before as beforeAll, test } from 'node:test'
import { dataPlanes, slotPids } from '../contract/dataplanes.ts'
import { Client, freePort, until } from '../contract/tcp-peers.ts'
import { enterOwnNetwork } from './network.ts'

/** In a network of its own, where nobody else fills an accept queue. */
beforeAll(enterOwnNetwork)

const HOST = '127.0.0.1'

for (const { name, open } of dataPlanes)
  test(`${name}: 1,000 connections that were held are let through without flooding a short accept queue`, async (t) => {
    const { plane } = await open(t)
    const script = new URL('named-server.mjs', import.meta.url).pathname
    const server = spawn(process.execPath, [script, 'blue', '64'], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.after(() => server.kill('SIGKILL'))
    slotPids.blue.add(server.pid ?? 0)
    const slotPort = Number(String((await once(server.stdout, 'data'))[0]))
    const route = {
      app: 'web',
      listen: { host: HOST, port: await freePort(t) },
      target: { slot: 'blue', host: HOST, port: slotPort },
      paused: false,
      holdTimeoutMs: 60_000,
      guardedPorts: [],
    } as const
    await plane.setRoute({ ...route, paused: true })
    const clients = Array.from({ length: 1_000 }, () => new Client(t, route.listen))
    for (const { socket } of clients) socket.write('GET / HTTP/1.0\r\n\r\n')
    await until('all are held', async () => (await plane.observe()).routes[0]?.held === clients.length)
    const before = listenOverflows()
    await plane.setRoute(route)
    await Promise.all(clients.map((client) => client.hears('blue')))
    // All at once would overflow it hundreds of times; a machine that is busy with other things, now and then.
    const overflows = listenOverflows() - before
    t.diagnostic(`${name}: the accept queue of 64 overflowed ${overflows} times`)
    assert.ok(overflows < clients.length / 10, `${overflows} overflows`)
  })

/** How often the kernel found an accept queue full, in this network namespace (proc(5), /proc/net/netstat). */
function listenOverflows(): number {
  const [names = '', values = ''] = readFileSync('/proc/self/net/netstat', 'utf8').split('\n')
  return Number(values.split(' ')[names.split(' ').indexOf('ListenOverflows')])
}
