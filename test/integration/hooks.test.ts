import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { DaemonApp } from './daemon-app.ts'
import { answerOn, EmbeddedDorc } from './embedded-dorc.ts'

describe('hooks', () => {
  let dorc: EmbeddedDorc
  let app: DaemonApp
  let told: string
  before(async () => {
    dorc = await EmbeddedDorc.start()
    await refuse(0)
    told = join(dorc.root, 'told')
    const tell = (hook: string): string =>
      `${hook} = ${JSON.stringify(['/bin/sh', '-c', `echo "${hook} $DORC_RELEASE in $DORC_SLOT" >> ${told}; if [ "$DORC_RELEASE" = "$(cat ${dorc.root}/refuse)" ]; then echo no database; exit 9; fi`])}`
    app = await DaemonApp.register(
      dorc,
      'web',
      ['before_start', 'after_switch', 'after_rollback'].map(tell).join('\n'),
    )
  })
  after(() => dorc[Symbol.asyncDispose]())

  const lines = async (): Promise<string[]> => (await readFile(told, 'utf8')).trim().split('\n')
  const untilTold = (line: string): Promise<void> =>
    dorc.until(`it is told: ${line}`, async () => (await lines()).includes(line))
  const refuse = async (release: number): Promise<void> => {
    await writeFile(join(dorc.root, 'refuse'), String(release))
  }

  test('before_start runs once for each slot before it is started', async () => {
    assert.deepEqual((await lines()).toSorted(), ['before_start 1 in blue', 'before_start 1 in green'])
    const { ok } = await app.deploy(await dorc.release('two', 'two'))
    assert.ok(ok)
    assert.deepEqual((await lines()).slice(2), ['before_start 2 in green'])
  })

  test('after_switch runs in the slot that is shown, and after_rollback when traffic goes back', async () => {
    await app.switch()
    await untilTold('after_switch 2 in green')
    await app.rollback()
    await untilTold('after_rollback 1 in blue')
  })

  test('a before_start that fails fails the deploy, is not repeated, and starts nothing', async () => {
    await refuse(3)
    const { ok, error } = await app.deploy(await dorc.release('three', 'three'))
    assert.equal(ok, false)
    assert.equal(error?.code, 'HOOK_FAILED')
    assert.match(error.message, /The hook before_start failed: exit status 9: no database/)
    await app.until(
      'the slot is stopped',
      ({ slots }) => slots.green.pid === null && slots.green.state === 'failed',
    )
    assert.equal(await answerOn(app.listen), 'web one')
    const tries = (await lines()).filter((line) => line === 'before_start 3 in green').length
    assert.equal(tries, 1)
  })

  test('an after_switch that fails is told, and the switch stays', async () => {
    assert.ok((await app.deploy(await dorc.release('four', 'four'))).ok)
    await refuse(4)
    await app.switch()
    await dorc.until('the failure is told', async () => {
      const { stdout } = await dorc.run('events', 'web', '-n', '100')
      return /The hook after_switch failed: exit status 9: no database/.test(stdout)
    })
    assert.equal(await answerOn(app.listen), 'four')
  })
})
