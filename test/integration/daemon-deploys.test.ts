import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import type { DorcError } from '../../src/core/errors.ts'
import { DaemonApp } from './daemon-app.ts'
import { answerOn, EmbeddedDorc } from './embedded-dorc.ts'

const NEVER = new AbortController().signal
const NEVER_LISTENS = 'setInterval(() => undefined, 1_000_000)'
const CRASHES_SOON = `
  require('node:http').createServer((_q, response) => response.end('crasher')).listen(Number(process.env.PORT), '127.0.0.1')
  process.on('SIGUSR2', () => process.exit(3))`
const TURNS_BAD = `
  let status = 200
  process.on('SIGUSR2', () => (status = 500))
  require('node:http')
    .createServer((_q, response) => response.writeHead(status).end('bad'))
    .listen(Number(process.env.PORT), '127.0.0.1')`

describe('several apps and many operators', () => {
  let dorc: EmbeddedDorc
  let left: DaemonApp
  let right: DaemonApp
  before(async () => {
    dorc = await EmbeddedDorc.start()
    left = await DaemonApp.register(dorc, 'left', 'deploy_timeout = "20s"')
    right = await DaemonApp.register(dorc, 'right')
  })
  after(() => dorc[Symbol.asyncDispose]())

  test('deploys of two apps run side by side', async () => {
    const outcomes = await Promise.all([
      left.deploy(await dorc.release('left-two', 'left two'), { switch: true }),
      right.deploy(await dorc.release('right-two', 'right two'), { switch: true }),
    ])
    assert.deepEqual(
      outcomes.map(({ ok }) => ok),
      [true, true],
    )
    assert.deepEqual([await answerOn(left.listen), await answerOn(right.listen)], ['left two', 'right two'])
  })

  test('a deploy that never gets ready holds up nobody else, and a newer one takes its place', async () => {
    const stuck = left.deploy(await dorc.release('stuck', '', NEVER_LISTENS))
    await left.until('the deploy is under way', ({ deploy }) => deploy?.state === 'preparing')
    assert.ok((await right.deploy(await dorc.release('right-three', 'right three'), { switch: true })).ok)
    assert.equal((await left.status()).deploy?.state, 'preparing')
    await assert.rejects(left.switch(), (error: DorcError) => error.code === 'NOT_READY')
    const newer = await left.deploy(await dorc.release('left-three', 'left three'), { switch: true })
    assert.ok(newer.ok, newer.message)
    const { ok, error } = await stuck
    assert.deepEqual([ok, error?.code], [false, 'SUPERSEDED'])
    assert.equal(await answerOn(left.listen), 'left three')
  })

  test('a switch to a slot that is not ready says why, with status 3', async () => {
    const { ok } = await left.deploy(await dorc.release('exits', '', 'process.exit(7)'))
    assert.equal(ok, false)
    const { status, stderr } = await dorc.run('switch', 'left')
    assert.equal(status, 3)
    assert.match(
      stderr,
      /Cannot switch "left" to \w+: release \d+ failed there: .*exit status 7.*\(NOT_READY\)/,
    )
  })

  test('of 8 who switch at once each is told the truth, and generations only rise', async () => {
    const before = { ...(await right.status()), switches: await switchesOf('right') }
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => right.switch()))
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') assert.equal((outcome.reason as DorcError).code, 'BUSY')
    }
    await right.until('it comes to rest', ({ deploy }) => deploy?.state === 'live')
    const now = await right.status()
    const accepted = outcomes.filter(({ status }) => status === 'fulfilled').length
    assert.ok(accepted >= 1)
    assert.equal((await switchesOf('right')) - before.switches, accepted)
    assert.ok(now.generation >= before.generation + accepted)
    assert.equal(now.active === before.active, accepted % 2 === 0)
    assert.equal(await answerOn(right.listen), await answerOn(now.slots[now.active].port))
  })

  const switchesOf = async (name: string): Promise<number> => {
    let switches = 0
    const query = { lines: 1_000, follow: false }
    for await (const { type } of dorc.client.events(name, query, new AbortController().signal)) {
      if (type === 'switched') switches += 1
    }
    return switches
  }

  test('of 8 who saw the same generation one switches', async () => {
    const seen = await right.status()
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, async () => {
        for await (const line of dorc.client.switch(
          'right',
          { to: null, force: false },
          seen,
          new AbortController().signal,
        ))
          void line
      }),
    )
    const refused = outcomes
      .filter(({ status }) => status === 'rejected')
      .map((outcome) => (outcome as PromiseRejectedResult).reason as DorcError)
    assert.deepEqual(
      refused.map(({ code }) => code),
      Array.from({ length: 7 }, () => 'CONFLICT'),
    )
    assert.notEqual((await right.status()).active, seen.active)
  })

  test('the same content again is nothing to do', async () => {
    const path = await dorc.release('same', 'same')
    assert.ok((await right.deploy(path)).ok)
    const { generation } = await right.status()
    const again = await right.deploy(path)
    assert.ok(again.ok)
    assert.match(again.message, /Nothing to do: release \d+ with the same content is in \w+ already/)
    assert.equal((await right.status()).generation, generation)
  })

  test('a job that deploys again what is live does nothing, and the journal names who asked for what was done', async () => {
    const release = await dorc.release('right-again', 'right again')
    assert.ok((await right.deploy(release, { switch: true })).ok)
    const before = await right.status()
    const again = await right.deploy(release, { switch: true })
    assert.match(
      again.message,
      /^Nothing to do: release \d+ with the same content is live in (blue|green) already$/,
    )
    const now = await right.status()
    assert.deepEqual([now.active, now.generation], [before.active, before.generation])
    const events = await Array.fromAsync(dorc.client.events('right', { lines: 100, follow: false }, NEVER))
    const asked = events.findLast(({ type }) => type === 'deploy-asked')
    assert.match(asked?.message ?? '', /^Deploy of release \d+ was asked for, with a switch$/)
    assert.equal(asked?.by?.uid, process.getuid?.())
  })

  test('rollback with a number brings that release back', async () => {
    const { ok, message } = await right.rollback(1)
    assert.ok(ok, message)
    assert.equal(await answerOn(right.listen), 'right one')
    await assert.rejects(right.rollback(99), (error: DorcError) => error.code === 'RELEASE_UNKNOWN')
  })

  test('a deploy waits for a connection of the slot that it needs, and --force cuts it', async () => {
    const socket = connect(right.listen, '127.0.0.1')
    socket.on('error', () => socket.destroy())
    await once(socket, 'connect')
    const old = (await right.status()).active
    await right.until('the connection is counted', ({ slots }) => slots[old].connections > 0)
    assert.ok((await right.switch()).ok)
    const path = await dorc.release('drained', 'drained')
    const waiting = right.deploy(path)
    await right.until('the deploy waits', ({ deploy }) => deploy?.state === 'draining')
    assert.equal((await right.status()).slots[old].connections, 1)
    assert.equal(socket.closed, false)
    socket.resume()
    const closed = once(socket, 'close')
    const forced = await right.deploy(path, { force: true, switch: true })
    assert.ok(forced.ok, forced.message)
    await closed
    assert.equal((await waiting).error?.code, 'SUPERSEDED')
    assert.equal(await answerOn(right.listen), 'drained')
  })
})

describe('a release that fails after the switch', () => {
  let dorc: EmbeddedDorc
  let app: DaemonApp
  before(async () => {
    dorc = await EmbeddedDorc.start()
    app = await DaemonApp.register(dorc, 'baked', 'bake = "50s"')
  })
  after(() => dorc[Symbol.asyncDispose]())

  for (const [what, program, code] of [
    ['crashes', CRASHES_SOON, 'UNIT_FAILED'],
    ['answers with 500', TURNS_BAD, 'PROBE_FAILED'],
  ] as const) {
    test(`one that ${what} takes itself back, is bad from then on, and comes again only by force`, async () => {
      const path = await dorc.release(what, '', program)
      const { ok, app: baking } = await app.deploy(path, { switch: true })
      assert.deepEqual([ok, baking.deploy?.state], [true, 'baking'])
      const bad = baking.slots[baking.active]
      const waiting = app.deploy(await dorc.release(`after-${what}`, `after ${what}`))
      if (bad.pid === null) throw new Error('A slot that bakes runs')
      process.kill(bad.pid, 'SIGUSR2')
      await dorc.until(
        'traffic is back',
        async () => (await answerOn(app.listen).catch(() => '')) === 'baked one',
      )
      const taken = await waiting
      assert.ok(taken.ok, taken.message)
      const releases = await dorc.client.releases('baked')
      assert.equal(releases.find(({ release }) => release === bad.release)?.bad, true)
      await assert.rejects(app.deploy(path), (error: DorcError) => error.code === 'RELEASE_BAD')
      const events: string[] = []
      for await (const { message } of dorc.client.events(
        'baked',
        { lines: 100, follow: false },
        new AbortController().signal,
      ))
        events.push(message)
      assert.ok(
        events.some((message) =>
          message.includes(code === 'UNIT_FAILED' ? 'ended after the switch' : 'probes in a row failed'),
        ),
        events.join('\n'),
      )
      assert.ok((await app.deploy(path, { force: true })).ok)
      assert.equal(await answerOn(app.listen), 'baked one')
    })
  }
})
