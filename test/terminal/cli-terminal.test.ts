import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { AppStatus } from '../../src/api/protocol.ts'
import { EmbeddedDorc, freePort } from '../integration/embedded-dorc.ts'
import { KEYS, Terminal } from './terminal.ts'

let dorc: EmbeddedDorc
before(async () => {
  dorc = await EmbeddedDorc.start()
  const upload = await dorc.release('first', 'first')
  const listen = `127.0.0.1:${await freePort()}`
  const flags = ['--listen', listen, '--upload-dir', upload, '--executable', 'bin/serve', '--yes']
  const { status, stderr } = await dorc.run('register', 'web', ...flags)
  assert.equal(status, 0, stderr)
})
after(() => dorc[Symbol.asyncDispose]())

const onTerminal = (...words: string[]): Terminal => new Terminal([...dorc.argv, ...words], dorc.env)

const app = async (): Promise<AppStatus> => {
  const { stdout } = await dorc.run('status', 'web', '--json')
  return (JSON.parse(stdout) as { apps: [AppStatus] }).apps[0]
}

test('a deploy on a terminal counts the probes and the seconds that are left', async () => {
  await using deploy = onTerminal('deploy', 'web', await dorc.release('second', 'second'))
  await deploy.shows(/Starting release 2 in green and probing it/)
  await deploy.shows(/Probing green: \d+ probes? passed, .*, \d+ s left/)
  await deploy.shows(/✔ Release 2 is ready in green/)
  assert.equal(await deploy.ended(), 0)
})

test('Ctrl-C stops the following, and the deploy goes on', async () => {
  await using deploy = onTerminal('deploy', 'web', await dorc.release('third', 'third'))
  await deploy.shows(/Starting release 3 in green/)
  deploy.type(KEYS.ctrlC)
  await deploy.shows(/what was begun goes on\. See: dorc status web/)
  assert.equal(await deploy.ended(), 130)
  await dorc.until('release 3 is ready', async () => (await app()).deploy?.state === 'ready')
})

test('remove asks on a terminal, and a no changes nothing', async () => {
  await using remove = onTerminal('remove', 'web')
  await remove.answer('Stop web\\?')
  await remove.shows(/Nothing changed/)
  assert.equal(await remove.ended(), 0)
  assert.equal((await app()).name, 'web')
})

test('status on a terminal has the slots in their colours', async () => {
  await using status = onTerminal('status')
  await status.shows(/● {2}blue/)
  assert.equal(await status.ended(), 0)
  assert.ok(status.colouredText.includes('\u001b[34mblue'))
  assert.ok(status.colouredText.includes('\u001b[32mgreen'))
})
