import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline/promises'
import { before, test, type TestContext } from 'node:test'
import type { Slot } from '../../src/core/app.ts'
import type { DataPlane } from '../../src/dataplane/dataplane.ts'
import { openRelay, openSteering, slotPids } from '../contract/dataplanes.ts'
import { connectOtherHost, enterOwnNetwork, run, setSysctl } from './network.ts'

/**
 * A switch between a client's SYN and its ACK. Without SYN cookies the kernel remembers the SYN and who took it; with
 * them (2: for everybody, as under a flood) it forgets, and the new listener knows of no cookie of its own.
 */
before(enterOwnNetwork)

const PORT = 8080
const CLIENT = '10.77.0.50'

interface Scene {
  readonly switchTo: (slot: Slot) => Promise<void>
  /** Tells the client on the other host what to do; returns what it says. */
  readonly client: (command: string) => Promise<string>
}

async function setScene(t: TestContext, { plane }: { plane: DataPlane }): Promise<Scene> {
  const other = connectOtherHost(t)
  const [cable = ''] = /(..:){5}../.exec(await other.run('ip -br link show there'.split(' '))) ?? []
  run(`ip neigh replace ${CLIENT} lladdr ${cable} dev here`)
  const ports = { blue: await serveNamed(t, 'blue'), green: await serveNamed(t, 'green') }
  const script = new URL('late-handshake.py', import.meta.url).pathname
  const child = other.spawn(['python3', script, 'there', CLIENT, '10.77.0.1', String(PORT)])
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const switchTo = (slot: Slot): Promise<void> =>
    plane.setRoute({
      app: 'web',
      listen: { host: '0.0.0.0', port: PORT },
      target: { slot, host: '127.0.0.1', port: ports[slot] },
      paused: false,
      holdTimeoutMs: 20_000,
      guardedPorts: [],
    })
  await switchTo('blue')
  return {
    switchTo,
    async client(command) {
      child.stdin.write(`${command}\n`)
      return String((await lines.next()).value)
    },
  }
}

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

test('without SYN cookies a handshake that a switch cuts in two ends in the slot where it began', async (t) => {
  setSysctl('net.ipv4.tcp_syncookies', '1')
  const { switchTo, client } = await setScene(t, await openSteering(t))
  assert.equal(await client('syn 40001'), 'synack')
  await switchTo('green')
  assert.equal(await client('ack 40001'), 'data blue')
})

test('with SYN cookies it is reset, until the new slot has sent a cookie of its own, and then ends there', async (t) => {
  setSysctl('net.ipv4.tcp_syncookies', '2')
  const { switchTo, client } = await setScene(t, await openSteering(t))
  assert.equal(await client('syn 40101'), 'synack')
  assert.equal(await client('syn 40102'), 'synack')
  await switchTo('green')
  assert.equal(await client('ack 40101'), 'reset')
  assert.equal(await client('syn 40103'), 'synack')
  assert.equal(await client('ack 40102'), 'data green')
  assert.equal(await client('ack 40103'), 'data green')
})

test('the relay loses none of them: its listening socket stays the same', async (t) => {
  setSysctl('net.ipv4.tcp_syncookies', '2')
  const { switchTo, client } = await setScene(t, await openRelay(t))
  assert.equal(await client('syn 40201'), 'synack')
  await switchTo('green')
  assert.equal(await client('ack 40201'), 'data green')
})
