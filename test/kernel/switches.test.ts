import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import type { Slot } from '../../src/core/app.ts'
import { dataPlanes, slotPids } from '../contract/dataplanes.ts'
import { freePort, until } from '../contract/tcp-peers.ts'

/** The promises of a switch as numbers, on each data plane, with ab as the client. */
const HOST = '127.0.0.1'
const SWITCHES = 200
const REQUESTS = 100_000
const CONNECTIONS_AFTER_A_SWITCH = 50
const OLD_CONNECTIONS = 1_000

async function serveNamed(t: TestContext, slot: Slot): Promise<number> {
  const script = new URL('named-server.mjs', import.meta.url).pathname
  const child = spawn(process.execPath, [script, slot], { stdio: ['ignore', 'pipe', 'inherit'] })
  slotPids[slot].add(child.pid ?? 0)
  t.after(() => {
    slotPids[slot].delete(child.pid ?? 0)
    child.kill('SIGKILL')
  })
  return Number(String((await once(child.stdout, 'data'))[0]))
}

/** Which slot answers a new connection. */
async function whoAnswers(port: number): Promise<string> {
  const socket = connect({ host: HOST, port })
  socket.end('GET / HTTP/1.0\r\n\r\n')
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  return text.slice(-5).trim()
}

class OldConnection {
  readonly socket: Socket
  heard = ''
  isBroken = false

  constructor(port: number) {
    this.socket = connect({ host: HOST, port })
    this.socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    this.socket.on('data', (chunk: Buffer) => (this.heard += chunk.toString()))
    for (const end of ['error', 'close'] as const) this.socket.on(end, () => (this.isBroken = true))
  }
}

for (const { name, open } of dataPlanes)
  describe(`switches on ${name}`, () => {
    test(`${REQUESTS} requests over ${SWITCHES} switches: none fails, none is misled, no old connection breaks`, async (t) => {
      const { plane } = await open(t)
      const port = await freePort(t)
      const ports = { blue: await serveNamed(t, 'blue'), green: await serveNamed(t, 'green') }
      const switchTo = (slot: Slot): Promise<void> =>
        plane.setRoute({
          app: 'web',
          listen: { host: HOST, port },
          target: { slot, host: HOST, port: ports[slot] },
          paused: false,
          holdTimeoutMs: 10_000,
          guardedPorts: [],
        })
      await switchTo('blue')
      const old = Array.from({ length: OLD_CONNECTIONS }, () => new OldConnection(port))
      t.after(() => old.forEach(({ socket }) => socket.destroy()))
      await until('all old connections are up', () => old.every(({ heard }) => heard.includes('101')))

      const loads = [ab(port, REQUESTS / 2), ab(port, REQUESTS / 2, '-k')]
      const latenciesMs: number[] = []
      for (let count = 1; count <= SWITCHES; count += 1) {
        const slot = count % 2 === 0 ? 'blue' : 'green'
        const startedAt = performance.now()
        await switchTo(slot)
        latenciesMs.push(performance.now() - startedAt)
        const answers = Array.from({ length: CONNECTIONS_AFTER_A_SWITCH }, () => whoAnswers(port))
        assert.deepEqual([...new Set(await Promise.all(answers))], [slot])
      }
      for (const output of await Promise.all(loads)) {
        assert.match(output, new RegExp(`Complete requests: +${REQUESTS / 2}\\n`))
        assert.match(output, /Failed requests: +0\n/)
      }
      for (const { socket } of old) socket.write('still here')
      await until('every old connection answers', () =>
        old.every(({ heard }) => heard.endsWith('still here')),
      )
      assert.equal(old.filter(({ isBroken }) => isBroken).length, 0)
      latenciesMs.sort((one, other) => one - other)
      const atShare = (share: number): string => (latenciesMs[Math.floor(SWITCHES * share)] ?? 0).toFixed(1)
      t.diagnostic(`${name}: a switch in force after ${atShare(0.5)} ms, p99 ${atShare(0.99)} ms`)
    })
  })

async function ab(port: number, requests: number, ...options: string[]): Promise<string> {
  const argv = ['-q', '-l', '-n', String(requests), '-c', '10', ...options, `http://${HOST}:${port}/`]
  return (await promisify(execFile)('ab', argv, { maxBuffer: 1024 * 1024 })).stdout
}
