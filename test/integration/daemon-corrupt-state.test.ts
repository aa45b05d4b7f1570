import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { DaemonApp } from './daemon-app.ts'
import { answerOn, EmbeddedDorc } from './embedded-dorc.ts'

describe('a daemon that starts over damaged files', () => {
  let dorc: EmbeddedDorc
  let well: DaemonApp
  let hurt: DaemonApp
  before(async () => {
    dorc = await EmbeddedDorc.start()
    well = await DaemonApp.register(dorc, 'well')
    hurt = await DaemonApp.register(dorc, 'hurt')
  })
  after(() => dorc[Symbol.asyncDispose]())

  /** Its file says that, the daemon is started anew and looked at; then the file is as it was, and so is the daemon. */
  const withDamaged = async (path: string, damaged: Buffer, look: () => Promise<void>): Promise<void> => {
    const whole = await readFile(path)
    await dorc.restart('SIGTERM', () => writeFile(path, damaged))
    try {
      await look()
    } finally {
      await dorc.restart('SIGTERM', () => writeFile(path, whole))
    }
    await hurt.until('it is back', ({ slots }) => slots.blue.ready && slots.green.ready)
  }

  const mustWork = async (app: DaemonApp): Promise<void> => {
    const { active } = await app.status()
    const { ok, message } = await app.switch()
    assert.ok(ok, message)
    assert.notEqual((await app.status()).active, active)
    assert.equal(await answerOn(app.listen), `${app.name} one`)
  }

  const intent = (): string => join(dorc.paths.intents, 'hurt.json')
  const damages: readonly (readonly [string, (whole: string) => string, RegExp])[] = [
    ['cut off', (whole) => whole.slice(0, whole.length / 2), /not JSON, or cut off/],
    ['empty', () => '', /not JSON, or cut off/],
    ['garbage', () => '\0\u{1f600}{"', /not JSON, or cut off/],
    ['of a later version', (whole) => whole.replace('"schema": 1', '"schema": 99'), /schema 99/],
    [
      'changed by hand',
      (whole) =>
        whole
          .replace('"activeSlot": "blue"', '"activeSlot": "green"')
          .replace('"generation"', ' "generation"')
          .replace(/"drainTimeoutMs": \d+/, '"drainTimeoutMs": 1'),
      /checksum/,
    ],
    ['of another app', () => '', /cannot be used/],
  ]
  for (const [what, damage, reason] of damages) {
    test(`an intent file that is ${what} sets that app aside, and only that`, async () => {
      const whole = await readFile(intent(), 'utf8')
      const pids = Object.values((await hurt.status()).slots).map(({ pid }) => pid)
      const text =
        what === 'of another app'
          ? await readFile(join(dorc.paths.intents, 'well.json'), 'utf8')
          : damage(whole)
      await withDamaged(intent(), Buffer.from(text), async () => {
        const { apps, setAside } = await dorc.client.status()
        assert.deepEqual(
          [apps.map(({ name }) => name), setAside.map(({ name }) => name)],
          [['well'], ['hurt']],
        )
        assert.match(setAside[0]?.reason ?? '', reason)
        assert.match((await dorc.run('status')).stdout, /Set aside.*\n +hurt/)
        await assert.rejects(hurt.switch(), { code: 'STATE_CORRUPT' })
        await assert.rejects(dorc.client.register({ name: 'hurt', toml: await hurt.toml() }), {
          code: 'APP_EXISTS',
        })
        assert.equal(await readFile(intent(), 'utf8'), text)
        assert.equal(await answerOn(hurt.listen), 'hurt one')
        await mustWork(well)
      })
      assert.deepEqual(
        Object.values((await hurt.status()).slots).map(({ pid }) => pid),
        pids,
      )
      await mustWork(hurt)
    })
  }

  test('the ports of an app that is set aside are not given to another', async () => {
    const { port } = (await hurt.status()).slots.blue
    await withDamaged(intent(), Buffer.from('x'), async () => {
      const app = await DaemonApp.prepare(dorc, 'third')
      const toml = (await app.toml()).replace(/(\[blue\]\nport = )\d+/, `$1${port}`)
      await assert.rejects(dorc.client.register({ name: 'third', toml }), { code: 'PORT_TAKEN' })
    })
  })

  for (const [what, damage] of [
    ['garbage', Buffer.from('not a database at all'.repeat(1000))],
    ['empty', Buffer.alloc(0)],
  ] as const) {
    test(`a journal that is ${what} costs history only`, async () => {
      await dorc.restart('SIGTERM', async () => {
        for (const suffix of ['-wal', '-shm']) await rm(`${dorc.paths.journal}${suffix}`, { force: true })
        await writeFile(dorc.paths.journal, damage)
      })
      await mustWork(well)
      const types: string[] = []
      for await (const { type } of dorc.client.events(
        'well',
        { lines: 10, follow: false },
        new AbortController().signal,
      ))
        types.push(type)
      assert.ok(types.includes('switched'), types.join())
    })
  }

  test('a record of a release that is damaged holds nobody up, and a deploy makes it good', async () => {
    const record = join(dorc.paths.releases, 'hurt/1/release.json')
    for (const text of ['', '{"number":"one"}']) {
      await withDamaged(record, Buffer.from(text), async () => {
        assert.deepEqual(
          (await dorc.client.status()).apps.map(({ name }) => name),
          ['hurt', 'well'],
        )
        assert.deepEqual(await dorc.client.releases('hurt'), [])
        await mustWork(hurt)
      })
    }
  })

  /** What stands beside a slot while it is active and while it is not. */
  const slotFiles = (slot: 'blue' | 'green'): readonly string[] => [
    join(dorc.paths.slots, `hurt/${slot}.installed`),
    join(dorc.paths.state, `slots/hurt/${slot}/process.json`),
    join(dorc.paths.state, `slots/hurt/${slot}/status.json`),
  ]
  for (const which of [0, 1, 2]) {
    for (const text of ['{"half":', '{"process":{},"limits":null}']) {
      test(`with ${JSON.stringify(text)} as file ${which} of a slot, the other app is as well as ever, and the slot is made anew`, async () => {
        const inactive = (await hurt.status()).active === 'blue' ? 'green' : 'blue'
        const path = slotFiles(inactive)[which] ?? ''
        await dorc.restart('SIGTERM', () => writeFile(path, text))
        const { apps } = await dorc.client.status()
        assert.deepEqual(
          apps.map(({ name }) => name),
          ['hurt', 'well'],
        )
        assert.equal(await answerOn(hurt.listen), 'hurt one')
        await hurt.until('its slots are ready', ({ slots }) => slots.blue.ready && slots.green.ready)
        await mustWork(hurt)
        await mustWork(well)
      })
    }
  }

  test('a list of installed files that is damaged fails the next deploy with its name, and what the hint says mends it', async () => {
    const inactive = (await hurt.status()).active === 'blue' ? 'green' : 'blue'
    const list = join(dorc.paths.slots, `hurt/${inactive}.files`)
    await writeFile(list, 'garbage')
    const { ok, error } = await hurt.deploy(await dorc.release('mended', 'mended'))
    assert.deepEqual([ok, error?.code], [false, 'STATE_CORRUPT'])
    assert.ok(error?.message.includes(list), error?.message)
    assert.equal(await answerOn(hurt.listen), 'hurt one')
    await rm(list)
    const again = await hurt.deploy(await dorc.release('again', 'again'), { switch: true })
    assert.ok(again.ok, again.message)
    assert.equal(await answerOn(hurt.listen), 'again')
  })
})
