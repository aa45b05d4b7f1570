import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { DaemonApp } from './daemon-app.ts'
import { answerOn, EmbeddedDorc, freePort } from './embedded-dorc.ts'

let dorc: EmbeddedDorc
let app: DaemonApp
let preview: number
before(async () => {
  dorc = await EmbeddedDorc.start()
  preview = await freePort()
  app = await DaemonApp.register(dorc, 'web', `preview = "127.0.0.1:${preview}"`)
})
after(() => dorc[Symbol.asyncDispose]())

test('the preview address shows a release before it is switched to, and then the one from before', async () => {
  assert.equal(await answerOn(preview), 'web one')
  assert.equal((await app.deploy(await dorc.release('web-two', 'web two'))).ok, true)
  assert.equal(await answerOn(preview), 'web two')
  assert.equal(await answerOn(app.listen), 'web one')
  assert.match(
    (await dorc.run('status', 'web')).stdout,
    new RegExp(`preview +127.0.0.1:${preview} leads to green`),
  )
  assert.equal((await app.switch()).ok, true)
  await dorc.until('the preview has moved, too', async () => (await answerOn(preview)) === 'web one')
  assert.equal(await answerOn(app.listen), 'web two')
})

test('an address that another app has is refused', async () => {
  const { stderr, status } = await dorc.run('register', 'other', '--from', await definition(), '--yes')
  assert.equal(status, 3, stderr)
  assert.match(stderr, new RegExp(`Port ${preview} \\(preview\\) is held by`))
})

test('it goes with the app', async () => {
  assert.equal((await dorc.run('remove', 'web', '--yes')).status, 0)
  await assert.rejects(answerOn(preview))
})

/** An app that wants the same preview address. */
async function definition(): Promise<string> {
  const other = await DaemonApp.prepare(dorc, 'other')
  const path = join(dorc.root, 'other.toml')
  await writeFile(path, await other.toml(`preview = "127.0.0.1:${preview}"`))
  return path
}
