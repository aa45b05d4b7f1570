import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { answerOn, EmbeddedDorc, freePort } from '../integration/embedded-dorc.ts'
import { KEYS, Terminal } from './terminal.ts'

let dorc: EmbeddedDorc
before(async () => {
  dorc = await EmbeddedDorc.start()
})
after(() => dorc[Symbol.asyncDispose]())

const register = (...words: string[]): Terminal =>
  new Terminal([...dorc.argv, 'register', ...words], { ...dorc.env })

test('the wizard asks in the order of the original, and Enter takes its proposals', async () => {
  const upload = await dorc.release('shop', 'shop')
  const listen = await freePort()
  await using wizard = register()
  await wizard.answer('App name', 'shop')
  await wizard.answer('Release location', upload)
  await wizard.shows(/\? Release executable \(bin\/serve\) ›/)
  wizard.type(KEYS.enter)
  await wizard.shows(/✔ Release executable · bin\/serve/)
  await wizard.answer('Listen port', `127.0.0.1:${listen}`)
  await wizard.shows(/This tool is for blue\/green deployments\./)
  for (const slot of ['blue', 'green']) {
    await wizard.shows(new RegExp(`Configuring '${slot}-shop'`))
    for (const question of [
      'Working dir',
      'Service address',
      'Start command',
      'Stop command',
      'Reload command',
    ]) {
      await wizard.answer(question)
    }
  }
  await wizard.shows(/executable = "bin\/serve"/)
  await wizard.answer('Register shop\\?')
  await wizard.shows(/Done! shop has been registered with two services\./)
  assert.equal(await wizard.ended(), 0)
  assert.equal(await answerOn(listen), 'shop')
  const file = await readFile(join(dorc.root, 'etc/dorc/apps/shop.toml'), 'utf8')
  assert.doesNotMatch(file, /^(start|stop|reload|dir) =/m, 'what Enter took is a default, and left out')
})

test('a wrong answer is told under the line while it is typed, and Enter does not take it', async () => {
  await using wizard = register()
  await wizard.shows(/\? App name/)
  wizard.type('No Name')
  await wizard.shows(/› No Name\s+.*name/i)
  wizard.type(KEYS.enter)
  await wizard.shows(/✘ /)
  wizard.type(KEYS.backspace.repeat('No Name'.length))
  wizard.type('fine')
  await wizard.shows(/› fine/)
  wizard.type(KEYS.enter)
  await wizard.shows(/✔ App name · fine/)
})

test('Tab completes paths, the executable inside the release', async () => {
  const upload = await dorc.release('tabbed', 'tabbed')
  await using wizard = register('tabbed')
  await wizard.shows(/\? Release location/)
  wizard.type(upload.slice(0, -3))
  await wizard.shows(/tab/)
  wizard.type(KEYS.tab)
  await wizard.shows(new RegExp(`› ${upload}/`))
  wizard.type(KEYS.enter)
  await wizard.shows(/\? Release executable/)
  wizard.type('b')
  await wizard.shows(/› b/)
  wizard.type(KEYS.tab)
  await wizard.shows(/› bin\//)
  wizard.type(KEYS.tab)
  await wizard.shows(/› bin\/serve/)
})

test('Ctrl-C at any question changes nothing', async () => {
  const upload = await dorc.release('given-up', 'x')
  for (const answers of [0, 2, 4, 9]) {
    await using wizard = register('given-up', '--upload-dir', upload)
    for (let given = 0; given < answers; given += 1) {
      await wizard.shows(/\? .* ›/)
      wizard.type(KEYS.enter)
      await wizard.shows(/✔ .* · /)
    }
    await wizard.shows(/\? .* ›/)
    wizard.type(KEYS.ctrlC)
    await wizard.shows(/Nothing changed/)
    assert.equal(await wizard.ended(), 130)
  }
  assert.equal(existsSync(join(dorc.root, 'etc/dorc/apps/given-up.toml')), false)
  assert.equal((await dorc.run('status', 'given-up')).status, 4)
})

test('a no at the end changes nothing', async () => {
  const upload = await dorc.release('unwanted', 'x')
  await using wizard = register(
    'unwanted',
    '--upload-dir',
    upload,
    '--executable',
    'bin/serve',
    '--start',
    '{executable} --quiet',
    '--stop',
    '',
    '--reload',
    '',
  )
  await wizard.answer('Listen port')
  for (let slot = 0; slot < 2; slot += 1) {
    await wizard.answer('Working dir')
    await wizard.answer('Service address')
  }
  await wizard.answer('Register unwanted\\?', 'no')
  await wizard.shows(/Nothing changed/)
  assert.equal(await wizard.ended(), 0)
  assert.equal((await dorc.run('status', 'unwanted')).status, 4)
})
