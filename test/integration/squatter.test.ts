import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { after, before, test } from 'node:test'
import { otherSlot } from '../../src/core/app.ts'
import { hasCode } from '../../src/core/errors.ts'
import { DaemonApp } from './daemon-app.ts'
import { answerOn, EmbeddedDorc } from './embedded-dorc.ts'

let dorc: EmbeddedDorc
let app: DaemonApp
before(async () => {
  dorc = await EmbeddedDorc.start()
  app = await DaemonApp.register(dorc, 'web', 'hold_timeout = "50s"')
})
after(() => dorc[Symbol.asyncDispose]())

test('who takes the port of a slot that is down gets no connection, and is named', async (t) => {
  const { active, slots } = await app.status()
  const { pid, port } = slots[active]
  assert.ok(pid !== null)
  process.kill(pid, 'SIGKILL')
  let stolen = 0
  const squatter = await squat(port, () => (stolen += 1))
  t.after(() => squatter.close())
  await app.until('its end is noticed', (now) => now.slots[active].pid !== pid)
  const answers = Array.from({ length: 20 }, () => answerOn(app.listen))
  await app.until('they wait', (now) => now.held === answers.length)
  await app.until(
    'the squatter is named',
    ({ nextStep }) => nextStep?.includes(`pid ${process.pid}`) === true,
  )
  squatter.close()
  assert.deepEqual(new Set(await Promise.all(answers)), new Set(['web one']))
  assert.equal(stolen, 0)
})

test('a release whose port somebody holds is not admitted, and its slot is not touched', async (t) => {
  const { active, slots, generation } = await app.status()
  const inactive = otherSlot(active)
  const { port } = slots[inactive]
  assert.equal((await dorc.run('stop', 'web', '--slot', inactive)).status, 0)
  const squatter = await squat(port, () => undefined)
  t.after(() => squatter.close())
  const release = await dorc.release('two', 'two')
  const refused = await dorc.run('deploy', 'web', release)
  assert.equal(refused.status, 3, refused.stdout)
  assert.match(
    refused.stderr,
    new RegExp(
      `Release 2 of "web" will not fit: port ${port} is held by pid ${process.pid} .*\\(NOT_ADMITTED\\)`,
    ),
  )
  const after = await app.status()
  assert.deepEqual([after.generation, after.slots[inactive].release], [generation + 1, 1])
  squatter.close()
  assert.equal((await dorc.run('deploy', 'web', release)).status, 0)
})

/** Listens there as soon as the port is free. */
async function squat(port: number, onConnection: () => void): Promise<Server> {
  for (;;) {
    const server = createServer((socket) => {
      onConnection()
      socket.destroy()
    })
    server.listen(port, '127.0.0.1')
    try {
      await once(server, 'listening')
      return server
    } catch (error) {
      if (!hasCode(error, 'EADDRINUSE')) throw error
    }
  }
}
