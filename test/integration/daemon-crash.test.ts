import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { describeError, DorcError } from '../../src/core/errors.ts'
import { DaemonApp, type Done } from './daemon-app.ts'
import { answerOn, EmbeddedDorc } from './embedded-dorc.ts'

const CRASHES = 20

test('a daemon that is killed over and over loses no request, and no deploy stays half done', async () => {
  await using dorc = await EmbeddedDorc.start()
  const server = (release: string): string => `
    require('node:http')
      .createServer((_request, response) => response.end('${release}'))
      .listen(Number(process.env.PORT), '127.0.0.1')
    process.on('SIGTERM', () => process.exit(0))`
  const app = await DaemonApp.register(dorc, 'web')
  const releases = await Promise.all(['a', 'b', 'c'].map((name) => dorc.release(name, name, server(name))))
  for (const release of releases) assert.ok((await app.deploy(release, { switch: true })).ok)

  const load = new Visitors(app.listen)
  const operator = new AbortController()
  const operating = operate(app, releases, operator.signal)
  for (let crash = 0; crash < CRASHES; crash += 1) {
    // Any moment will do; that it is another one each time is the point.
    await pause(Math.random() * 400)
    await dorc.restart('SIGKILL')
  }
  operator.abort()
  await operating
  const { requests } = load
  await dorc.until('visitors are served after the last crash', async () => load.requests > requests + 100)
  await app.until('it comes to rest', ({ deploy }) =>
    ['live', 'ready', 'failed'].includes(deploy?.state ?? ''),
  )

  const last = await app.deploy(await dorc.release('last', 'last', server('last')), { switch: true })
  assert.ok(last.ok, last.message)
  await dorc.until('visitors see the last release', async () => load.seen.has('last'))
  const back = await app.switch()
  assert.ok(back.ok, back.message)
  await load.stop()
  assert.deepEqual(load.failures, [])

  const { active, slots } = await app.status()
  const kept = await dorc.client.releases('web')
  for (const slot of ['blue', 'green'] as const) {
    const { release, port, ready } = slots[slot]
    assert.ok(ready)
    assert.deepEqual(kept.find((candidate) => candidate.release === release)?.slots.includes(slot), true)
    const answer = await answerOn(port)
    assert.equal(answer === 'last', slot !== active, `${slot} answers ${answer}`)
  }
})

/** Each request is a connection of its own: none of them stands in the way of a deploy. */
class Visitors {
  readonly failures: string[] = []
  /** Releases that answered. */
  readonly seen = new Set<string | null>()
  requests = 0
  #isStopping = false
  readonly #running: Promise<unknown>

  constructor(port: number) {
    this.#running = Promise.all(Array.from({ length: 4 }, () => this.#visit(port)))
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#running
  }

  async #visit(port: number): Promise<void> {
    while (!this.#isStopping) {
      try {
        this.seen.add(await answerOn(port))
      } catch (error) {
        this.failures.push(describeError(error))
      }
      this.requests += 1
      await pause(2)
    }
  }
}

/** Deploys and switches without end; what a dying daemon leaves unanswered is asked for again. */
async function operate(app: DaemonApp, releases: readonly string[], signal: AbortSignal): Promise<void> {
  for (let turn = 0; !signal.aborted; turn += 1) {
    const release = releases[turn % releases.length] ?? null
    const asked = turn % 2 === 0 ? app.deploy(release, { switch: true }) : app.switch()
    await asked.catch((error: unknown): Done | null => {
      if (error instanceof DorcError || (error instanceof Error && /stream ended/.test(error.message)))
        return null
      throw error
    })
    await pause(10)
  }
}
