import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { DaemonApp } from './daemon-app.ts'
import { answerOn, EmbeddedDorc } from './embedded-dorc.ts'

const NEVER = new AbortController().signal

describe('an app that is paused', () => {
  let dorc: EmbeddedDorc
  let app: DaemonApp
  before(async () => {
    dorc = await EmbeddedDorc.start()
    app = await DaemonApp.register(dorc, 'web', 'hold_timeout = "50s"')
  })
  after(() => dorc[Symbol.asyncDispose]())

  test('holds new connections until it is resumed, and leaves the others alone', async () => {
    const active = connect(app.listen, '127.0.0.1')
    await once(active, 'connect')
    active.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n')
    await once(active, 'data')
    const { status, stdout } = await dorc.run('pause', 'web')
    assert.equal(status, 0)
    assert.match(stdout, /New connections of web are held/)
    let isAnswered = false
    const held = answerOn(app.listen).then((answer) => {
      isAnswered = true
      return answer
    })
    await app.until('the new one is held', (now) => now.held === 1)
    active.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n')
    await once(active, 'data')
    assert.match((await dorc.run('status', 'web')).stdout, /paused: new connections wait \(1 now\)/)
    assert.equal(isAnswered, false)
    const resumed = await dorc.run('resume', 'web')
    assert.match(resumed.stdout, /are let through; 1 connection had been waiting/)
    assert.equal(await held, 'web one')
    assert.equal(await answerOn(app.listen), 'web one')
    active.destroy()
  })

  test('is paused once, however often that is asked for, and the journal tells it', async () => {
    const before = await app.status()
    for (const command of ['pause', 'pause', 'resume', 'resume']) {
      assert.equal((await dorc.run(command, 'web')).status, 0)
    }
    assert.equal((await app.status()).generation, before.generation + 2)
    const events = await Array.fromAsync(dorc.client.events('web', { lines: 2, follow: false }, NEVER))
    assert.deepEqual(
      events.map(({ type }) => type),
      ['paused', 'resumed'],
    )
  })

  test('says so over JSON, and is told from one that is not there', async () => {
    const { stdout } = await dorc.run('pause', 'web', '--json')
    assert.equal((JSON.parse(stdout) as { app: { paused: boolean } }).app.paused, true)
    assert.equal((await dorc.run('resume', 'web')).status, 0)
    assert.equal((await dorc.run('pause', 'nope')).status, 4)
  })
})
