import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { JournalEvent, ProgressLine } from '../../src/api/protocol.ts'
import { DaemonApp } from './daemon-app.ts'
import { EmbeddedDorc } from './embedded-dorc.ts'
import { keepAsking } from './visitors.ts'

type ReceiptLine = Extract<ProgressLine, { kind: 'receipt' }>

const SAYS_NOTHING = `
  require('node:net').createServer((socket) => socket.on('error', () => undefined))
    .listen(Number(process.env.PORT), '127.0.0.1')`
const TURNS_BAD = `
  let status = 200
  process.on('SIGUSR2', () => (status = 500))
  require('node:http')
    .createServer((_request, response) => response.writeHead(status).end('bad'))
    .listen(Number(process.env.PORT), '127.0.0.1')`
/** Answers its probe on its own port, and hangs up on whoever comes through the public address. */
const HANGS_UP = (listen: number) => `
  require('node:http')
    .createServer((request, response) =>
      request.headers.host.endsWith(':${listen}') ? request.socket.destroy() : response.end('fine'))
    .listen(Number(process.env.PORT), '127.0.0.1')`

const NEVER = new AbortController().signal

describe('the receipt of a switch', () => {
  let dorc: EmbeddedDorc
  let web: DaemonApp
  before(async () => {
    dorc = await EmbeddedDorc.start()
    web = await DaemonApp.register(dorc, 'web')
  })
  after(() => dorc[Symbol.asyncDispose]())

  const switched = async (app: DaemonApp): Promise<ProgressLine[]> =>
    await Array.fromAsync(dorc.client.switch(app.name, { to: null, force: false }, null, NEVER))

  const eventsOf = (app: DaemonApp): Promise<JournalEvent[]> =>
    Array.fromAsync(dorc.client.events(app.name, { lines: 1_000, follow: false }, NEVER))

  test('under load tells of a switch without a failure, is in the journal and in the status', async () => {
    const { active } = await web.status()
    const visitors = keepAsking(web.listen, 4)
    const lines = await switched(web)
    const { failures, answers } = await visitors.stop()
    const receipt = lines.find((line): line is ReceiptLine => line.kind === 'receipt')
    assert.ok(receipt, JSON.stringify(lines))
    const { kind, ...told } = receipt
    assert.deepEqual(
      [told.from, told.to, told.tries, told.failed, told.firstFailure, told.reached],
      [active, active === 'blue' ? 'green' : 'blue', 'http', 0, null, told.to],
    )
    assert.ok(told.tried >= 10 && told.worstStallMs > 0, JSON.stringify(told))
    assert.deepEqual(failures, [])
    assert.ok(answers > 0)
    assert.deepEqual([kind, lines.at(-1)?.kind], ['receipt', 'done'])
    assert.deepEqual((await web.status()).lastReceipt, told)
    const event = (await eventsOf(web)).findLast(({ type }) => type === 'receipt')
    assert.match(event?.message ?? '', /^Switched to \w+: \d+ tried, 0 failed, worst stall \d+ ms, \d+ con/)
  })

  test('counts the connections that stay on the old slot, and is printed', async () => {
    await using stayers = await keepAsking(web.listen, 0).withKept(3)
    const { active } = await web.status()
    await web.until('they are counted', ({ slots }) => slots[active].connections >= stayers.kept)
    const { status, stdout } = await dorc.run('switch', 'web')
    assert.equal(status, 0)
    assert.match(
      stdout,
      new RegExp(`: \\d+ tried, 0 failed, worst stall \\d+ ms, 3 connections left on ${active}\n`),
    )
  })

  test('comes with a deploy that switches, and with a rollback', async () => {
    const path = await dorc.release('two', 'two')
    const command = { path, switch: true, force: false, wait: 'ready' } as const
    const deployed = await Array.fromAsync(dorc.client.deploy('web', command, null, NEVER))
    const back = { release: null, force: false }
    const rolledBack = await Array.fromAsync(dorc.client.rollback('web', back, null, NEVER))
    for (const lines of [deployed, rolledBack]) {
      const receipts = lines.filter(({ kind }) => kind === 'receipt')
      assert.equal(receipts.length, 1, JSON.stringify(lines))
    }
  })

  test('tells of failures if the app does not answer visitors, though the switch was carried out', async () => {
    const done = await web.deploy(await dorc.release('hangs-up', '', HANGS_UP(web.listen)))
    assert.ok(done.ok, done.message)
    const { status, stdout } = await dorc.run('switch', 'web')
    assert.match(stdout, /[1-9]\d* failed \(first: connection closed without an answer\)/)
    assert.equal(status, 0)
    const { lastReceipt, active } = await web.status()
    assert.equal(lastReceipt?.reached, active)
  })

  test('of an app that does not speak HTTP claims connections only', async () => {
    const silent = await DaemonApp.prepare(dorc, 'silent')
    await silent.put(await dorc.release('silent', '', SAYS_NOTHING))
    const toml = (await silent.toml()).replace('http = "/"', 'tcp = true')
    await dorc.client.register({ name: 'silent', toml })
    await silent.until('both slots are ready', ({ slots }) => slots.blue.ready && slots.green.ready)
    await silent.until('it is live', ({ deploy }) => deploy?.state === 'live')
    const receipt = (await switched(silent)).find((line): line is ReceiptLine => line.kind === 'receipt')
    assert.deepEqual([receipt?.tries, receipt?.failed, receipt?.reached], ['tcp', 0, receipt?.to])
  })

  test('is written for a release that takes itself back, too', async () => {
    const baked = await DaemonApp.register(dorc, 'baked', 'bake = "50s"')
    const { ok, message, app } = await baked.deploy(await dorc.release('bad', '', TURNS_BAD), {
      switch: true,
    })
    assert.ok(ok, message)
    process.kill(app.slots[app.active].pid ?? 0, 'SIGUSR2')
    await baked.until('it took itself back', ({ deploy }) => deploy?.state === 'rolled-back')
    await baked.until('that is witnessed', ({ active, lastReceipt }) => lastReceipt?.to === active)
    const receipts = (await eventsOf(baked)).filter(({ type }) => type === 'receipt')
    assert.deepEqual(
      receipts.map(({ deploy }) => deploy),
      [app.deploy?.id, app.deploy?.id],
    )
  })

  test('has nothing to tell of where no traffic was before', async () => {
    const events = await eventsOf(web)
    const [first] = events.filter(({ type }) => type === 'receipt' || type === 'switched')
    assert.equal(first?.type, 'switched')
  })
})
