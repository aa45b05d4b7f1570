import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import type { ProgressLine } from '../../src/api/protocol.ts'
import { DaemonApp } from './daemon-app.ts'
import { EmbeddedDorc } from './embedded-dorc.ts'

type Draining = Extract<ProgressLine, { kind: 'draining' }>

const NEVER = new AbortController().signal

// Slots listen on 127.0.0.1 only: a client that comes by IPv6 cannot be steered to them, so the relay carries it.
describe('a deploy that needs a slot with users', () => {
  let dorc: EmbeddedDorc
  let app: DaemonApp
  before(async () => {
    dorc = await EmbeddedDorc.start()
    app = await DaemonApp.prepare(dorc, 'web')
    await app.put(await dorc.release('one', 'one'))
    const toml = await app.toml('drain_timeout = "2s"')
    await dorc.client.register({ name: 'web', toml: toml.replace('127.0.0.1:', '[::]:') })
    await app.until('it is live', ({ deploy, slots }) => {
      return deploy?.state === 'live' && slots.blue.ready && slots.green.ready
    })
  })
  after(() => dorc[Symbol.asyncDispose]())

  const mustConnect = async (host: string): Promise<Socket> => {
    const { active, slots } = await app.status()
    // One that keeps its own side open, whatever comes from the other.
    const socket = connect({ host, port: app.listen, allowHalfOpen: true })
    socket.on('error', () => socket.destroy()).resume()
    await once(socket, 'connect')
    await app.until('it is counted', (now) => now.slots[active].connections > slots[active].connections)
    return socket
  }

  const mustSwitch = async (): Promise<void> => {
    const { ok, message } = await app.switch()
    assert.ok(ok, message)
  }

  for (const [what, force] of [
    ['cuts them at the drain timeout', false],
    ['cuts them at once with --force', true],
  ] as const) {
    test(`tells how many, how old and from where, and ${what}`, async () => {
      const sockets = [await mustConnect('127.0.0.1'), await mustConnect('::1')]
      const cut = sockets.map(
        (socket) => new Promise((resolve) => socket.once('end', resolve).once('close', resolve)),
      )
      await mustSwitch()
      const path = await dorc.release(what, what)
      const command = { path, switch: false, force, wait: 'ready' } as const
      const lines = await Array.fromAsync(dorc.client.deploy('web', command, null, NEVER))
      const draining = lines.filter((line): line is Draining => line.kind === 'draining')
      const last = lines.at(-1)
      assert.ok(last?.kind === 'done' && last.ok, JSON.stringify(last))
      if (!force) {
        const told = draining.find(({ peers }) => peers.length === 2)
        assert.ok(told, JSON.stringify(draining))
        assert.equal(told.connections, 2)
        assert.ok(told.oldestMs !== null && told.oldestMs >= 0)
        assert.deepEqual(told.peers.map(({ host }) => host).toSorted(), ['127.0.0.1', '::1'])
      }
      await Promise.all(cut)
      await app.until('nobody is left on it', ({ active, slots }) => {
        return slots[active === 'blue' ? 'green' : 'blue'].connections === 0
      })
      for (const socket of sockets) socket.destroy()
    })
  }

  test('is told so in words', async () => {
    const socket = await mustConnect('127.0.0.1')
    await mustSwitch()
    const { status, stdout } = await dorc.run('deploy', 'web', await dorc.release('words', 'words'))
    assert.equal(status, 0)
    assert.match(
      stdout,
      /Waiting for 1 old connection to end, the oldest of \d+ s, from 127\.0\.0\.1 \(1\) \(cut in \d s\)/,
    )
    socket.destroy()
  })
})
