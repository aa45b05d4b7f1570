import assert from 'node:assert/strict'
import { cp, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { DaemonApp } from './daemon-app.ts'
import { answerOn, EmbeddedDorc } from './embedded-dorc.ts'

describe('the upload directory of an app', () => {
  let dorc: EmbeddedDorc
  let app: DaemonApp
  before(async () => {
    dorc = await EmbeddedDorc.start()
    app = await DaemonApp.register(dorc, 'web', 'watch = true\nbake = "0s"')
  })
  after(() => dorc[Symbol.asyncDispose]())

  const answered = (slot: 'active' | 'inactive', answer: string): Promise<void> =>
    dorc.until(`the ${slot} slot answers ${answer}`, async () => {
      const { active, slots, deploy } = await app.status()
      const other = active === 'blue' ? 'green' : 'blue'
      const { port, ready } = slots[slot === 'active' ? active : other]
      const isSettled = deploy?.state === 'ready' || deploy?.state === 'live'
      return ready && isSettled && (await answerOn(port).catch(() => '')) === answer
    })

  test('what is put there appears in the inactive slot by itself', async () => {
    await app.put(await dorc.release('two', 'two'))
    await answered('inactive', 'two')
    assert.equal(await answerOn(app.listen), 'web one')
  })

  test('a newer upload replaces one that is not ready yet', async () => {
    await app.put(await dorc.release('stuck', '', 'setInterval(() => undefined, 1_000_000)'))
    await app.until('the first is under way', ({ deploy }) => deploy?.state === 'preparing')
    await app.put(await dorc.release('three', 'three'))
    await answered('inactive', 'three')
  })

  const troubles: readonly (readonly [string, () => Promise<void>, () => Promise<void>])[] = [
    [
      'vanishes',
      () => rename(app.upload, `${app.upload}.away`),
      () => rename(`${app.upload}.away`, app.upload),
    ],
    [
      'becomes a file',
      async () => {
        await rename(app.upload, `${app.upload}.away`)
        await writeFile(app.upload, 'not a directory')
      },
      async () => {
        await rm(app.upload)
        await rename(`${app.upload}.away`, app.upload)
      },
    ],
    [
      'is empty',
      async () => {
        await rename(app.upload, `${app.upload}.away`)
        await mkdir(app.upload)
      },
      async () => {
        await rm(app.upload, { recursive: true })
        await rename(`${app.upload}.away`, app.upload)
      },
    ],
  ]
  for (const [what, begin, end] of troubles) {
    test(`one that ${what} is told of by deploy, harms nothing, and works again when it is back`, async () => {
      const { generation } = await app.status()
      await begin()
      await assert.rejects(
        app.deploy(null),
        (error: Error) =>
          /web|upload/.test(error.message) &&
          'code' in error &&
          ['UPLOAD_MISSING', 'PATH_INVALID', 'RELEASE_EMPTY', 'RELEASE_INVALID'].includes(String(error.code)),
      )
      const { generation: since, uploadProblem } = await app.status()
      assert.equal(since, generation)
      if (what === 'is empty') assert.equal(uploadProblem, null)
      else assert.match(uploadProblem ?? '', /is (gone|not a directory): no upload is seen/)
      assert.equal(await answerOn(app.listen), 'web one')
      await end()
      assert.equal((await app.status()).uploadProblem, null)
      await app.put(await dorc.release(`after-${what.replaceAll(' ', '-')}`, `after it ${what}`))
      await answered('inactive', `after it ${what}`)
    })
  }

  test('what is copied there file by file is taken as a whole, and with auto_switch shown', async () => {
    const file = `${dorc.paths.appFiles}/web.toml`
    await writeFile(file, await app.toml('watch = true\nauto_switch = true'))
    await dorc.client.load('web', null)
    await rm(app.upload, { recursive: true })
    await mkdir(app.upload)
    await cp(await dorc.release('shown', 'shown'), app.upload, { recursive: true })
    await dorc.until('it is shown', async () => (await answerOn(app.listen)) === 'shown')
    await app.until('it is live', ({ deploy }) => deploy?.state === 'live')
  })
})
