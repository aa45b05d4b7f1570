import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, rename, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { DorcError, type ErrorCode, hasCode } from '../../src/core/errors.ts'
import { DaemonApp } from './daemon-app.ts'
import { answerOn, EmbeddedDorc, freePort } from './embedded-dorc.ts'

describe('a register that is refused', () => {
  let dorc: EmbeddedDorc
  let other: DaemonApp
  before(async () => {
    dorc = await EmbeddedDorc.start()
    other = await DaemonApp.register(dorc, 'other')
  })
  after(() => dorc[Symbol.asyncDispose]())

  const namesIn = (path: string): Promise<string[]> =>
    readdir(path).catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return []
      throw error
    })

  /** Everything that a register makes, but what the app before it has. */
  const traces = async (): Promise<string[]> => {
    const { appFiles, intents, releases, slots, state } = dorc.paths
    const dirs = [appFiles, intents, releases, slots, join(state, 'slots'), join(dorc.root, 'uploads')]
    return (await Promise.all(dirs.map(async (dir) => (await namesIn(dir)).map((name) => join(dir, name)))))
      .flat()
      .sort()
  }

  /** Fails unless it is refused with that, and leaves the host as it was. */
  const mustRefuse = async (
    { name, toml }: { name: string; toml: string },
    code: ErrorCode,
    pattern: RegExp,
  ): Promise<void> => {
    const before = await traces()
    const error: unknown = await dorc.client.register({ name, toml }).then(
      () => null,
      (reason: unknown) => reason,
    )
    assert.ok(error instanceof DorcError, `${name} was registered`)
    assert.match(`${error.message}\n${error.hint ?? ''}`, pattern)
    assert.equal(error.code, code)
    assert.deepEqual(await traces(), before)
    const { apps, setAside } = await dorc.client.status()
    assert.deepEqual([apps.map((app) => app.name), setAside], [['other'], []])
    assert.equal(await answerOn(other.listen), 'other one')
  }

  for (const name of [
    '',
    '.',
    '..',
    'a/b',
    '-a',
    'a b',
    'Web',
    'a'.repeat(200),
    'wéb',
    'a\nb',
    'a\0b',
    '%n',
    '../../x',
  ]) {
    test(`the name ${JSON.stringify(name.slice(0, 20))}`, async () => {
      const app = await DaemonApp.prepare(dorc, 'named')
      await mustRefuse({ name, toml: await app.toml() }, 'NAME_INVALID', /name/i)
    })
  }

  const edits: readonly (readonly [string, (toml: string) => string, ErrorCode, RegExp])[] = [
    [
      'listen port 0',
      (toml) => toml.replace(/^listen = .*$/m, 'listen = 0'),
      'DEFINITION_INVALID',
      /line 1.*listen/s,
    ],
    [
      'a slot port of 0',
      (toml) => toml.replace(/(\[blue\]\nport = )\d+/, '$10'),
      'DEFINITION_INVALID',
      /line \d+.*port/s,
    ],
    [
      'a port beyond the last',
      (toml) => toml.replace(/(\[green\]\nport = )\d+/, '$165536'),
      'DEFINITION_INVALID',
      /line \d+.*port/s,
    ],
    [
      'both slots on one port',
      (toml) => toml.replace(/(\[green\]\nport = )\d+/, `$1${/\[blue\]\nport = (\d+)/.exec(toml)?.[1]}`),
      'DEFINITION_INVALID',
      /port/,
    ],
    [
      'a slot on the listen port',
      (toml) => toml.replace(/(\[green\]\nport = )\d+/, `$1${/listen = ".*:(\d+)"/.exec(toml)?.[1]}`),
      'DEFINITION_INVALID',
      /port|listen/,
    ],
    [
      'a relative upload directory',
      (toml) => toml.replace(/^upload_dir = .*$/m, 'upload_dir = "up/load"'),
      'DEFINITION_INVALID',
      /line 2.*upload_dir/s,
    ],
    [
      'an upload directory whose parent is missing',
      (toml) => toml.replace(/^upload_dir = .*$/m, 'upload_dir = "/nowhere/at/all"'),
      'PATH_INVALID',
      /\/nowhere\/at\/all/,
    ],
    [
      'an upload directory that is a file',
      (toml) => toml.replace(/^upload_dir = .*$/m, `upload_dir = "${import.meta.filename}"`),
      'PATH_INVALID',
      /is not a directory/,
    ],
    [
      'an executable outside the release',
      (toml) => toml.replace(/^executable = .*$/m, 'executable = "../../bin/sh"'),
      'DEFINITION_INVALID',
      /line 3.*executable/s,
    ],
    [
      'an absolute executable',
      (toml) => toml.replace(/^executable = .*$/m, 'executable = "/bin/sh"'),
      'DEFINITION_INVALID',
      /line 3.*executable/s,
    ],
    [
      'a start program that is missing',
      (toml) => toml.replace('[probe]', 'start = "/no/such/program"\n[probe]'),
      'PATH_INVALID',
      /start.*\/no\/such\/program/s,
    ],
    [
      'an unknown key',
      (toml) => toml.replace('settle', 'setle'),
      'DEFINITION_INVALID',
      /line 4.*setle.*settle/s,
    ],
    [
      'a wrong type',
      (toml) => toml.replace('watch = false', 'watch = "no"'),
      'DEFINITION_INVALID',
      /line \d+.*watch/s,
    ],
    ['no TOML at all', () => 'listen = [', 'DEFINITION_INVALID', /line 1/],
    ['an empty file', () => '', 'DEFINITION_INVALID', /listen/],
  ]
  for (const [what, edit, code, pattern] of edits) {
    test(what, async () => {
      const app = await DaemonApp.prepare(dorc, 'web')
      await mustRefuse({ name: 'web', toml: edit(await app.toml()) }, code, pattern)
    })
  }

  test('a port of another app is named with that app', async () => {
    const app = await DaemonApp.prepare(dorc, 'web')
    for (const port of [other.listen, (await other.status()).slots.green.port]) {
      const toml = (await app.toml()).replace(/(\[blue\]\nport = )\d+/, `$1${port}`)
      await mustRefuse({ name: 'web', toml }, 'PORT_TAKEN', /other/)
    }
  })

  test('a port of another process is named with its pid', async () => {
    const server = createServer().listen(await freePort(), '127.0.0.1')
    await once(server, 'listening')
    try {
      const address = server.address()
      const port = typeof address === 'object' ? address?.port : null
      const app = await DaemonApp.prepare(dorc, 'web')
      const named = new RegExp(`Port ${port} .*${process.pid}`)
      const toml = await app.toml()
      await mustRefuse(
        { name: 'web', toml: toml.replace(`:${app.listen}"`, `:${port}"`) },
        'PORT_TAKEN',
        named,
      )
      await mustRefuse(
        { name: 'web', toml: toml.replace(/(\[blue\]\nport = )\d+/, `$1${port}`) },
        'PORT_TAKEN',
        named,
      )
    } finally {
      server.close()
    }
  })

  test('an executable that is not in the release', async () => {
    const app = await DaemonApp.prepare(dorc, 'web')
    await app.put(await dorc.release('wrong', 'x'))
    const toml = (await app.toml()).replace('bin/serve', 'bin/server')
    await mustRefuse({ name: 'web', toml }, 'RELEASE_INVALID', /bin\/server/)
  })

  test('an executable that cannot be executed', async () => {
    const app = await DaemonApp.prepare(dorc, 'web')
    const release = await dorc.release('plain', 'x')
    await chmod(join(release, 'bin/serve'), 0o644)
    await app.put(release)
    await mustRefuse({ name: 'web', toml: await app.toml() }, 'RELEASE_INVALID', /bin\/serve.*execut/s)
  })

  test('an upload directory that is reached through a link', async () => {
    const app = await DaemonApp.prepare(dorc, 'web')
    await rename(app.upload, `${app.upload}-real`)
    await symlink(`${app.upload}-real`, app.upload)
    await mustRefuse({ name: 'web', toml: await app.toml() }, 'PATH_INVALID', /leads through a link/)
    await rename(app.upload, join(dorc.root, 'link-put-away'))
  })

  test('a definition that a person wrote and that says something else', async () => {
    const app = await DaemonApp.prepare(dorc, 'written')
    const path = join(dorc.paths.appFiles, 'written.toml')
    await writeFile(path, '# mine\n')
    await mustRefuse({ name: 'written', toml: await app.toml() }, 'APP_EXISTS', /says something else/)
  })

  test('when the intent cannot be saved, neither definition nor release nor a new upload directory is left', async () => {
    const app = await DaemonApp.prepare(dorc, 'web')
    await app.put(await dorc.release('fine', 'fine'))
    await withBlocked(dorc.paths.intents, async () => {
      await mustRefuse({ name: 'web', toml: await app.toml() }, 'STATE_NOT_SAVED', /web\.json/)
      const unmade = (await app.toml()).replace(app.upload, `${app.upload}-unmade`)
      await mustRefuse({ name: 'web', toml: unmade }, 'STATE_NOT_SAVED', /web\.json/)
    })
  })

  test('of many registers of one name at once, one wins', async () => {
    const app = await DaemonApp.prepare(dorc, 'raced')
    await app.put(await dorc.release('raced', 'raced'))
    const toml = await app.toml()
    const outcomes = await Promise.allSettled(
      Array.from({ length: 5 }, () => dorc.client.register({ name: 'raced', toml })),
    )
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') assert.equal((outcome.reason as DorcError).code, 'APP_EXISTS')
    await app.until('it is live', ({ deploy }) => deploy?.state === 'live')
    assert.equal((await dorc.client.releases('raced')).length, 1)
    await dorc.client.remove('raced', { purge: true }, null)
  })

  test('of two apps at once that want one port, one wins', async () => {
    const apps = await Promise.all(['left', 'right'].map((name) => DaemonApp.prepare(dorc, name)))
    const port = await freePort()
    const outcomes = await Promise.allSettled(
      apps.map(async (app) => {
        const toml = (await app.toml()).replace(/(\[blue\]\nport = )\d+/, `$1${port}`)
        return dorc.client.register({ name: app.name, toml })
      }),
    )
    assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  })
})

/** For as long as `work` takes, nothing can be made in that directory: a file has its place. */
async function withBlocked(directory: string, work: () => Promise<void>): Promise<void> {
  await mkdir(directory, { recursive: true })
  await rename(directory, `${directory}.away`)
  try {
    await work()
  } finally {
    await rename(`${directory}.away`, directory)
  }
}
