import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import type { DrillReport } from '../../src/cli/drill/report.ts'
import { DaemonApp } from './daemon-app.ts'
import { EmbeddedDorc } from './embedded-dorc.ts'

const ECHOES = `
  require('node:net')
    .createServer((socket) => socket.on('error', () => undefined).pipe(socket))
    .listen(Number(process.env.PORT), '127.0.0.1')`
/** Answers its probe on its own port, and hangs up on every tenth visitor of the public address. */
const HANGS_UP_AT_TIMES = (listen: number) => `
  let visits = 0
  require('node:http')
    .createServer((request, response) => {
      const isVisitor = request.headers.host.endsWith(':${listen}')
      if (isVisitor && (visits += 1) % 10 === 0) request.socket.destroy()
      else response.end('fine')
    })
    .listen(Number(process.env.PORT), '127.0.0.1')`

describe('a drill', () => {
  let dorc: EmbeddedDorc
  let app: DaemonApp
  before(async () => {
    dorc = await EmbeddedDorc.start()
    app = await DaemonApp.register(dorc, 'web')
  })
  after(() => dorc[Symbol.asyncDispose]())

  const drilled = async (...words: string[]): Promise<{ status: number | null; report: DrillReport }> => {
    const { status, stdout } = await dorc.run('drill', ...words, '--json')
    return { status, report: JSON.parse(stdout) as DrillReport }
  }

  test('switches to and fro without a failure, keeps connections, and leaves the active slot as it was', async () => {
    const before = await app.status()
    const { status, report } = await drilled('web', '--switches', '5')
    const { ok, switches, failed, tried, held, latency, active, receipts } = report
    assert.deepEqual(
      [status, ok, switches, failed, held, active],
      [0, true, 5, 0, { opened: 5, kept: 5 }, before.active],
      JSON.stringify(report),
    )
    assert.ok(tried > 100 && latency !== null && latency.p50 > 0 && latency.p99 >= latency.p50)
    assert.equal(receipts.length, 5)
    assert.equal((await app.status()).active, before.active)
  })

  test('is told in words', async () => {
    const { status, stdout } = await dorc.run('drill', 'web', '--switches', '2')
    assert.equal(status, 0, stdout)
    assert.match(stdout, /^✔ 2 switches: \d+ tried, 0 failed, worst stall \d+ ms\n.*p50 [\d.]+ ms, p99/)
    assert.match(stdout, /Old connections: 5 of 5 kept\n {2}\w+ is active, as before\n$/)
  })

  test('that is interrupted leaves the active slot as it was', async () => {
    const { active } = await app.status()
    const words = [...dorc.argv.slice(1), 'drill', 'web', '--switches', '1000']
    const drill = spawn(process.execPath, words, { env: { ...process.env, ...dorc.env }, stdio: 'ignore' })
    const closed = once(drill, 'close')
    await app.until('the other slot is active', (now) => now.active !== active)
    drill.kill('SIGINT')
    assert.deepEqual(await closed, [130, null])
    assert.equal((await app.status()).active, active)
  })

  test('of an app that does not speak HTTP connects only', async () => {
    const echo = await DaemonApp.prepare(dorc, 'echo')
    await echo.put(await dorc.release('echo', '', ECHOES))
    const toml = (await echo.toml()).replace('http = "/"', 'tcp = true')
    await dorc.client.register({ name: 'echo', toml })
    await echo.until('it is live', ({ deploy, slots }) => {
      return deploy?.state === 'live' && slots.blue.ready && slots.green.ready
    })
    const { status, report } = await drilled('echo', '--switches', '2')
    assert.deepEqual([status, report.held], [0, { opened: 5, kept: 5 }], JSON.stringify(report))
    assert.equal((await dorc.client.app('echo')).request, null)
  })

  test('is refused while a release waits to be shown, and with --kill-daemon where nobody would start it again', async () => {
    const killing = await dorc.run('drill', 'web', '--kill-daemon')
    assert.equal(killing.status, 3)
    assert.match(killing.stderr, /Cannot kill an embedded daemon: nobody would start it again \(FORBIDDEN\)/)
    const { ok, message } = await app.deploy(await dorc.release('flaky', '', HANGS_UP_AT_TIMES(app.listen)))
    assert.ok(ok, message)
    const waiting = await dorc.run('drill', 'web')
    assert.equal(waiting.status, 3)
    assert.match(waiting.stderr, /the deploy of release 2 is ready \(BUSY\)/)
  })

  test('of an app that fails says so with status 1, and restores what was active', async () => {
    assert.ok((await app.switch()).ok)
    const { active } = await app.status()
    const { status, report } = await drilled('web', '--switches', '3', '--hold', '0')
    assert.deepEqual([status, report.ok, report.isRestored], [1, false, true])
    assert.ok(report.failed > 0)
    assert.equal(report.firstFailure, 'connection closed without an answer')
    assert.equal((await app.status()).active, active)
  })

  test('that a stopped slot ends early restores what was active', async () => {
    const { active } = await app.status()
    const drilling = drilled('web', '--switches', '1000', '--hold', '0')
    await app.until('the other slot is active', (now) => now.active !== active)
    await app.until('it is back', (now) => now.active === active)
    await dorc.client.run('web', { action: 'stop', slot: active === 'blue' ? 'green' : 'blue' }, null)
    const { status, report } = await drilling
    assert.equal(status, 1)
    assert.deepEqual([report.error?.code, report.active], ['NOT_READY', active])
    const refused = await dorc.run('drill', 'web')
    assert.equal(refused.status, 3)
    assert.match(refused.stderr, /its \w+ slot is not ready \(NOT_READY\)/)
  })
})
