import assert from 'node:assert/strict'
import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { DaemonApp } from './daemon-app.ts'
import { answerOn, EmbeddedDorc } from './embedded-dorc.ts'

describe('the files of releases are read again', () => {
  let dorc: EmbeddedDorc
  let web: DaemonApp
  const inSlot = (slot: string): string => join(dorc.root, 'var/lib/dorc/apps/web', slot, 'bin/serve')
  const inStore = (): string => join(dorc.root, 'var/lib/dorc/releases/web/1/tree/bin/serve')
  before(async () => {
    dorc = await EmbeddedDorc.start()
    web = await DaemonApp.register(dorc, 'web')
  })
  after(() => dorc[Symbol.asyncDispose]())

  const events = async (): Promise<string> => (await dorc.run('events', 'web', '-n', '100')).stdout

  test('dorc releases --verify says that all is as it was taken in', async () => {
    const { status, stdout } = await dorc.run('releases', 'web', '--verify')
    assert.equal(status, 0)
    assert.match(stdout, /✔ release 1: 1 file, .* as taken in/)
    assert.deepEqual(await web.dorc.client.verify('web', 1), await web.dorc.client.verify('web', null))
    assert.equal((await dorc.run('releases', 'web', '--verify', '9')).status, 4)
    assert.equal((await dorc.run('releases', 'web', '1')).status, 2)
  })

  test('a changed file of a slot is named, and put right before the slot is started', async () => {
    await dorc.run('stop', 'web', '--slot', 'green')
    await web.until('green has stopped', ({ slots }) => slots.green.state === 'stopped')
    const whole = await readFile(inSlot('green'), 'utf8')
    await appendFile(inSlot('green'), '\n// changed')

    const { status, stdout } = await dorc.run('releases', 'web', '--verify', '1', '--json')
    assert.equal(status, 1)
    const [check] = (JSON.parse(stdout) as { releases: { deviations: { where: string; path: string }[] }[] })
      .releases
    assert.deepEqual(
      check?.deviations.map(({ where, path }) => [where, path]),
      [['green', 'bin/serve']],
    )

    await dorc.run('start', 'web', '--slot', 'green')
    await web.until('green runs again', ({ slots }) => slots.green.ready)
    assert.equal(await readFile(inSlot('green'), 'utf8'), whole)
    assert.match(
      await events(),
      /Files of release 1 in green were put right before its start: "bin\/serve" has \d+ bytes/,
    )
    assert.equal((await dorc.run('releases', 'web', '--verify')).status, 0)
  })

  test('nothing is started from a damaged slot when the store is damaged, too; the other slot serves', async () => {
    await dorc.run('stop', 'web', '--slot', 'green')
    await web.until('green has stopped', ({ slots }) => slots.green.state === 'stopped')
    const whole = await readFile(inStore(), 'utf8')
    await appendFile(inSlot('green'), '\n// changed')
    await appendFile(inStore(), '\n// rot')
    const { status, stdout } = await dorc.run('releases', 'web', '--verify')
    assert.equal(status, 1)
    assert.match(stdout, /✘ release 1: 1 deviation\n {4}store: "bin\/serve" has \d+ bytes/)

    await dorc.run('start', 'web', '--slot', 'green')
    await web.until('the start is refused', ({ slots }) => slots.green.state === 'failed')
    assert.equal(await answerOn(web.listen), 'web one')

    await writeFile(inStore(), whole)
    await web.until('green runs once the store is mended', ({ slots }) => slots.green.ready)
  })
})
