import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import type { DorcError } from '../../src/core/errors.ts'
import { otherSlot } from '../../src/core/app.ts'
import { DaemonApp } from './daemon-app.ts'
import { EmbeddedDorc } from './embedded-dorc.ts'

const NEVER = new AbortController().signal
const CLOSE = { olderMs: null, unknownAge: false, spreadMs: 0, force: false }

describe('who is connected', () => {
  let dorc: EmbeddedDorc
  let app: DaemonApp
  before(async () => {
    dorc = await EmbeddedDorc.start()
    app = await DaemonApp.register(dorc, 'web')
  })
  after(() => dorc[Symbol.asyncDispose]())

  /** Connected to the slot that is active now, and seen there. */
  const mustConnect = async (count: number): Promise<Socket[]> => {
    const { active } = await app.status()
    const before = (await dorc.client.connections('web', active)).length
    const sockets = Array.from({ length: count }, () => connect(app.listen, '127.0.0.1'))
    for (const socket of sockets) socket.on('error', () => socket.destroy()).resume()
    await Promise.all(sockets.map((socket) => once(socket, 'connect')))
    await dorc.until('they are listed', async () => {
      return (await dorc.client.connections('web', active)).length === before + count
    })
    return sockets
  }

  const mustSwitch = async (): Promise<void> => {
    const { ok, message } = await app.switch()
    assert.ok(ok, message)
  }

  const ended = (sockets: readonly Socket[]): number => sockets.filter(({ destroyed }) => destroyed).length

  test('is listed by slot, oldest first, with peer, bytes and process', async () => {
    const { active, slots } = await app.status()
    const old = await mustConnect(2)
    await mustSwitch()
    const young = await mustConnect(1)
    old[0]?.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n')
    await dorc.until('its bytes are counted', async () => {
      const listed = await dorc.client.connections('web', active)
      return listed.some(({ bytesIn, bytesOut }) => bytesIn === 30 && bytesOut > 0)
    })
    const listed = await dorc.client.connections('web', null)
    assert.deepEqual(
      listed.map(({ slot, peer, process }) => [slot, peer, process?.pid]),
      [...old, ...young].map(({ localPort }, at) => {
        const slot = at < 2 ? active : otherSlot(active)
        return [slot, { host: '127.0.0.1', port: localPort }, slots[slot].pid]
      }),
    )
    const { stdout } = await dorc.run('conns', 'web')
    assert.match(stdout, new RegExp(`127\\.0\\.0\\.1:${old[0]?.localPort} +30 B`))
    assert.match(stdout, new RegExp(`\n3 connections: .*1 on ${otherSlot(active)} \\(active\\)`))
    const { stdout: json } = await dorc.run('conns', 'web', '--slot', active, '--json')
    assert.equal((JSON.parse(json) as { connections: unknown[] }).connections.length, 2)
    for (const socket of [...old, ...young]) socket.destroy()
  })

  test('on the active slot is not closed, unless forced', async () => {
    const { active } = await app.status()
    const sockets = await mustConnect(1)
    const refused = await dorc.run('close', 'web', '--slot', active)
    assert.equal(refused.status, 3)
    assert.match(refused.stderr, /it is the active slot \(BUSY\)\n.*--force/)
    assert.equal(ended(sockets), 0)
    const forced = await dorc.run('close', 'web', '--slot', active, '--force')
    assert.equal(forced.status, 0, forced.stderr)
    await dorc.until('it is closed', async () => await Promise.resolve(ended(sockets) === 1))
  })

  test('on the other slot is closed at once, the active slot keeps its own, and the journal tells it', async () => {
    const { active } = await app.status()
    const old = await mustConnect(3)
    await mustSwitch()
    const young = await mustConnect(2)
    const { status, stdout } = await dorc.run('close', 'web', '--slot', active)
    assert.equal(status, 0)
    assert.match(stdout, /Closed 3 of 3 connections/)
    await dorc.until('they are closed', async () => await Promise.resolve(ended(old) === 3))
    assert.equal(ended(young), 0)
    const events = await Array.fromAsync(dorc.client.events('web', { lines: 5, follow: false }, NEVER))
    assert.equal(
      events.findLast(({ type }) => type === 'connections-closed')?.message,
      `Closed 3 of 3 connections of ${active}`,
    )
    for (const socket of young) socket.destroy()
  })

  test('is closed only when older, if that is asked for', async () => {
    const { active } = await app.status()
    const old = await mustConnect(2)
    await mustSwitch()
    const young = await dorc.run('close', 'web', '--slot', active, '--older', '1h')
    assert.match(young.stdout, /There is nothing to close/)
    assert.equal(ended(old), 0)
    const lines = dorc.client.close('web', { ...CLOSE, slot: active, olderMs: 1 }, null, NEVER)
    assert.deepEqual((await Array.fromAsync(lines)).at(-1)?.closed, 2)
  })

  test('is closed spread over a time, and whoever goes meanwhile stops the rest', async () => {
    const { active } = await app.status()
    const old = await mustConnect(4)
    await mustSwitch()
    const goes = new AbortController()
    const command = { ...CLOSE, slot: active, spreadMs: 3_600_000 }
    for await (const line of dorc.client.close('web', command, null, goes.signal)) {
      assert.deepEqual([line.kind, line.found, line.closed], ['closing', 4, 1])
      goes.abort()
    }
    await dorc.until('one is closed', async () => await Promise.resolve(ended(old) === 1))
    const spread = await Array.fromAsync(
      dorc.client.close('web', { ...CLOSE, slot: active, spreadMs: 1_500 }, null, NEVER),
    )
    assert.deepEqual(
      spread.map(({ kind, closed }) => [kind, closed]),
      [
        ['closing', 1],
        ['closing', 2],
        ['closing', 3],
        ['done', 3],
      ],
    )
  })

  test('is left alone once the slot becomes the active one', async () => {
    const { active } = await app.status()
    const old = await mustConnect(3)
    await mustSwitch()
    const command = { ...CLOSE, slot: active, spreadMs: 5_000 }
    const closing = Array.fromAsync(dorc.client.close('web', command, null, NEVER))
    await dorc.until('the first is closed', async () => await Promise.resolve(ended(old) === 1))
    await mustSwitch()
    const last = (await closing).at(-1)
    assert.deepEqual([last?.kind === 'done' && last.error?.code, ended(old) < 3], ['BUSY', true])
    for (const socket of old) socket.destroy()
  })

  test('is nobody of an app that is not there', async () => {
    await assert.rejects(
      dorc.client.connections('nope', null),
      (error: DorcError) => error.code === 'APP_UNKNOWN',
    )
    assert.equal((await dorc.run('close', 'nope', '--slot', 'blue')).status, 4)
    const { status, stderr } = await dorc.run('close', 'web', '--slot', 'blue', '--older', 'soon')
    assert.equal(status, 2)
    assert.match(stderr, /Cannot take "soon" for --older: it is no duration such as 30s/)
  })
})

// Slots listen on 127.0.0.1 only: a client that comes by IPv6 cannot be steered to them, so the relay carries it.
test('connections of either plane are listed and closed alike', async () => {
  await using dorc = await EmbeddedDorc.start()
  const app = await DaemonApp.prepare(dorc, 'both')
  await app.put(await dorc.release('both', 'both'))
  await dorc.client.register({ name: 'both', toml: (await app.toml()).replace('127.0.0.1:', '[::]:') })
  await app.until('it is live', ({ deploy, slots }) => {
    return deploy?.state === 'live' && slots.blue.ready && slots.green.ready
  })
  const sockets = ['127.0.0.1', '::1'].map((host) => connect(app.listen, host))
  const closed = Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve))))
  for (const socket of sockets) socket.on('error', () => socket.destroy()).resume()
  await dorc.until('both are listed with their process', async () => {
    const listed = await dorc.client.connections('both', 'blue')
    return listed.length === 2 && listed.every(({ process }) => process !== null)
  })
  const listed = await dorc.client.connections('both', null)
  const isSteered = (await app.status()).dataPlane === 'steering'
  assert.deepEqual(listed.map(({ peer, via }) => `${peer.host} ${via}`).toSorted(), [
    `127.0.0.1 ${isSteered ? 'steering' : 'relay'}`,
    '::1 relay',
  ])
  assert.ok((await app.switch()).ok)
  const { lastReceipt } = await app.status()
  assert.deepEqual([lastReceipt?.failed, lastReceipt?.left, lastReceipt?.reached], [0, 2, 'green'])
  const lines = await Array.fromAsync(dorc.client.close('both', { ...CLOSE, slot: 'blue' }, null, NEVER))
  assert.deepEqual([lines.at(-1)?.closed, lines.at(-1)?.gone], [2, 0])
  await closed
})
