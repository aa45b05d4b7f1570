import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { AppStatus, JournalEvent, LogEntry, ProgressLine } from '../../src/api/protocol.ts'
import { answerOn, EmbeddedDorc, freePort } from './embedded-dorc.ts'

describe('the story of an app on the command line', () => {
  let dorc: EmbeddedDorc
  let listen = 0
  before(async () => {
    dorc = await EmbeddedDorc.start()
    listen = await freePort()
  })
  after(() => dorc[Symbol.asyncDispose]())

  const status = async (): Promise<AppStatus> => {
    const { stdout } = await dorc.run('status', 'web', '--json')
    const app = (JSON.parse(stdout) as { apps: AppStatus[] }).apps[0]
    if (app === undefined) throw new Error(`No app in ${stdout}`)
    return app
  }

  test('without apps, status says how to make one', async () => {
    const { status, stdout } = await dorc.run('status')
    assert.equal(status, 0)
    assert.match(stdout, /No apps yet\.\nMake one: dorc register\n/)
  })

  test('register with flags puts what is uploaded into both slots', async () => {
    const upload = await dorc.release('one', 'one')
    const flags = [
      '--listen',
      `127.0.0.1:${listen}`,
      '--upload-dir',
      upload,
      '--executable',
      'bin/serve',
      '--yes',
    ]
    const { status: exit, stdout, stderr } = await dorc.run('register', 'web', ...flags)
    assert.equal(exit, 0, stderr)
    assert.match(stdout, /Done! web has been registered with two services\./)
    const { slots, active } = await status()
    assert.deepEqual([slots.blue.release, slots.green.release, active], [1, 1, 'blue'])
    assert.equal(await answerOn(listen), 'one')
  })

  test('what is wrong with a flag is told by its name, and with a file by its line', async () => {
    const flags = ['--upload-dir', await dorc.release('other', 'other'), '--yes']
    const bad = [
      [['--listen', '0', '--executable', 'bin/serve'], 2, /Cannot register "other": --listen must/],
      [
        ['--listen', '18099', '--executable', 'bin/nope'],
        1,
        /The executable "bin\/nope" is not in the upload/,
      ],
      [['--listen', '18099', '--executable', '../serve'], 2, /--executable must be a path/],
    ] as const
    for (const [words, wanted, message] of bad) {
      const { status: exit, stderr } = await dorc.run('register', 'other', ...words, ...flags)
      assert.deepEqual([exit, message.test(stderr)], [wanted, true], stderr)
    }
    const path = join(dorc.root, 'other.toml')
    await writeFile(path, '# mine\nlistn = "8080"\n')
    const { status: exit, stderr } = await dorc.run('register', '--from', path)
    assert.equal(exit, 2)
    assert.match(
      stderr,
      /"[^"]*\/other\.toml" is not a valid definition: line 2: listn .* did you mean "listen"/,
    )
    assert.equal((await dorc.run('status', 'other')).status, 4)
  })

  test('a path part instead of a name, and a name that never was, are no apps', async () => {
    for (const words of [
      ['remove', '..', '--yes'],
      ['status', '.'],
      ['events', 'nope'],
    ]) {
      const { status: exit, stderr } = await dorc.run(...words)
      assert.deepEqual([exit, /There is no app/.test(stderr)], [4, true], stderr)
    }
  })

  test('a name that is taken is refused, and nothing changes', async () => {
    const { generation } = await status()
    const { status: exit, stderr } = await dorc.run(
      'register',
      'web',
      '--listen',
      '8099',
      '--executable',
      'x',
      '--yes',
    )
    assert.equal(exit, 3)
    assert.match(stderr, /\(APP_EXISTS\)/)
    assert.equal((await status()).generation, generation)
  })

  test('deploy puts a release into the inactive slot and says how to show it', async () => {
    const { status: exit, stdout, stderr } = await dorc.run('deploy', 'web', await dorc.release('two', 'two'))
    assert.equal(exit, 0, stderr)
    assert.match(stdout, /✔ Release 2 is ready in green\n {2}Try it on port \d+; blue still/)
    assert.equal(await answerOn(listen), 'one')
    assert.equal(await answerOn((await status()).slots.green.port), 'two')
  })

  test('switch says from where to where, and how to go back', async () => {
    const { status: exit, stdout, stderr } = await dorc.run('switch', 'web')
    assert.equal(exit, 0, stderr)
    assert.match(stdout, /✔ web: blue \(release 1\) → green \(release 2\)\n/)
    assert.match(stdout, / {2}Back: dorc switch web\n/)
    assert.equal(await answerOn(listen), 'two')
  })

  test('rollback goes back at once', async () => {
    const { status: exit, stdout, stderr } = await dorc.run('rollback', 'web')
    assert.equal(exit, 0, stderr)
    assert.match(stdout, /✔ web: green \(release 2\) → blue \(release 1\)\n/)
    assert.equal(await answerOn(listen), 'one')
  })

  test('a release that crashes fails the deploy with status 1 and leaves the active slot alone', async () => {
    const bad = await dorc.release('bad', '', 'console.error("no database"); process.exit(3)')
    const { status: exit, stderr } = await dorc.run('deploy', 'web', bad, '--switch')
    assert.equal(exit, 1)
    assert.match(stderr, /^dorc: Release 3 failed: .*\((UNIT_FAILED|DEPLOY_TIMED_OUT)\)\n {6}/)
    assert.equal(await answerOn(listen), 'one')
  })

  test('a switch to the slot that failed is refused with status 3', async () => {
    const { status: exit, stderr } = await dorc.run('switch', 'web')
    assert.equal(exit, 3)
    assert.match(stderr, /\(NOT_READY\)/)
  })

  test('deploy --json tells each step as a line, and ends with the outcome', async () => {
    const {
      status: exit,
      stdout,
      stderr,
    } = await dorc.run('deploy', 'web', await dorc.release('four', 'four'), '--json')
    assert.equal(exit, 0, stderr)
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as ProgressLine)
    assert.ok(lines.some(({ kind }) => kind === 'taken-in'))
    const last = lines.at(-1)
    assert.ok(last?.kind === 'done' && last.ok)
  })

  test('releases are shown newest first with the slots that have them', async () => {
    const { stdout } = await dorc.run('releases', 'web')
    assert.match(stdout, /^REL +SLOT +TAKEN IN +FILES +SIZE +DIGEST\n +4 +green .*\n[^]*\n +1 +blue /)
  })

  test('logs show what each slot printed, without its escape sequences', async () => {
    const { status: exit, stdout } = await dorc.run('logs', 'web', '--slot', 'blue')
    assert.equal(exit, 0)
    assert.match(stdout, / blue {2}serving one in red\n/)
    const json = await dorc.run('logs', 'web', '--slot', 'blue', '--json', '-n', '1')
    assert.equal((JSON.parse(json.stdout) as LogEntry).slot, 'blue')
  })

  test('events tell who did what', async () => {
    const { stdout } = await dorc.run('events', 'web', '--json', '-n', '100')
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as JournalEvent)
    const switched = events.find(({ type }) => type === 'switched')
    assert.ok(switched !== undefined)
    assert.equal(events.find(({ type }) => type === 'registered')?.by?.uid, process.getuid?.())
  })

  test('stop and start act on the slot that is named', async () => {
    assert.equal((await dorc.run('switch', 'web')).status, 0)
    const refused = await dorc.run('stop', 'web', '--slot', 'blue')
    assert.deepEqual([refused.status, /blue is the way back/.test(refused.stderr)], [3, true])
    // Release 1 has been live before: it is not watched.
    assert.equal((await dorc.run('switch', 'web')).status, 0)
    assert.equal((await dorc.run('stop', 'web', '--slot', 'green')).status, 0)
    const { blue, green } = (await status()).slots
    assert.deepEqual([blue.state, green.state], ['running', 'stopped'])
    assert.equal((await dorc.run('start', 'web', '--slot', 'green')).status, 0)
    assert.ok((await status()).slots.green.ready)
  })

  test('restart returns when another process is ready', async () => {
    const before = (await status()).slots.blue.pid
    const { status: exit, stdout, stderr } = await dorc.run('restart', 'web', '--slot', 'blue')
    assert.equal(exit, 0, stderr)
    assert.match(stdout, /✔ Slot blue of web restarted\n/)
    const { ready, pid } = (await status()).slots.blue
    assert.ok(ready && pid !== before)
  })

  test('load reads the file again', async () => {
    const path = join(dorc.root, 'etc/dorc/apps/web.toml')
    assert.match(await readFile(path, 'utf8'), /^# web: /)
    const { status: exit, stderr } = await dorc.run('load', 'web')
    assert.equal(exit, 0, stderr)
  })

  test('reload without a reload command is refused, and says what to write', async () => {
    const { status: exit, stderr } = await dorc.run('reload', 'web')
    assert.equal(exit, 3)
    assert.match(
      stderr,
      /Cannot reload "web": blue runs without a reload command \(RELOAD_UNDEFINED\)\n.*reload = /,
    )
  })

  test('load with another listen host moves the listen address', async () => {
    const path = join(dorc.root, 'etc/dorc/apps/web.toml')
    const text = await readFile(path, 'utf8')
    const port = listen
    await writeFile(path, text.replace(/^listen .*$/m, `listen = "127.0.0.2:${port}"`))
    const { status: exit, stdout, stderr } = await dorc.run('load', 'web')
    assert.equal(exit, 0, stderr)
    assert.match(stdout, new RegExp(`New connections are taken at 127\\.0\\.0\\.2:${port}`))
    await writeFile(path, text)
    assert.equal((await dorc.run('load', 'web')).status, 0)
  })

  test('an app or a release that does not exist ends with status 4', async () => {
    assert.equal((await dorc.run('status', 'nope')).status, 4)
    assert.equal((await dorc.run('rollback', 'web', '99')).status, 4)
  })

  test('remove needs --yes where nobody can be asked', async () => {
    const { status: exit, stderr } = await dorc.run('remove', 'web')
    assert.equal(exit, 2)
    assert.match(stderr, /Add --yes/)
    assert.equal((await status()).name, 'web')
  })

  test('an app that was removed comes back from the file that is left', async () => {
    const generation = (await status()).generation
    const { stdout } = await dorc.run('remove', 'web', '--yes')
    const left = join(dorc.root, 'etc/dorc/apps/web.toml.removed')
    assert.match(stdout, new RegExp(left))
    const back = await dorc.run('register', '--from', left)
    assert.equal(back.status, 0, back.stderr)
    assert.ok((await status()).generation < generation)
  })

  test('remove --purge leaves nothing that answers', async () => {
    const { status: exit, stderr } = await dorc.run('remove', 'web', '--purge', '--yes')
    assert.equal(exit, 0, stderr)
    assert.equal((await dorc.run('status', 'web')).status, 4)
    await assert.rejects(answerOn(listen))
  })
})

test('a register into an empty upload directory says what to do next', async () => {
  await using dorc = await EmbeddedDorc.start()
  const upload = join(dorc.root, 'upload')
  const flags = [
    '--listen',
    `127.0.0.1:${await freePort()}`,
    '--upload-dir',
    upload,
    '--executable',
    'app',
    '--yes',
  ]
  const { status, stdout, stderr } = await dorc.run('register', 'later', ...flags)
  assert.equal(status, 0, stderr)
  assert.match(stdout, new RegExp(`next {4}Upload a release to ${upload}`))
})

test('a definition from a file is registered under the name of the file', async () => {
  await using dorc = await EmbeddedDorc.start()
  const path = join(dorc.root, 'broken.toml')
  const { status, stderr } = await dorc.run('register', '--from', path)
  assert.equal(status, 2)
  assert.match(stderr, /Cannot read .*broken\.toml.*\(PATH_INVALID\)/)
  await rm(path, { force: true })
})
