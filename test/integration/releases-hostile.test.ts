import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  renameSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, describe, test, type TestContext } from 'node:test'
import { moreRefused, refused, refusedAsRoot } from './hostile-trees.ts'
import { extent } from '../extent.ts'
import {
  isRoot,
  leftovers,
  mustBeWhole,
  mustOpenBed,
  mustRefuse,
  NOBODY,
  pathsBelow,
  takeIn,
  textOf,
  writeFile,
  writeRelease,
} from './release-bed.ts'

describe('what an upload may not hold is refused by name, and nothing of it is kept', () => {
  const trees = [...refused, ...moreRefused, ...(isRoot ? refusedAsRoot : [])]
  let tried = 0
  after(() => console.log(`${tried} hostile trees were refused`))
  for (const tree of trees) {
    test(tree.name, { timeout: 60_000 }, async (t) => {
      const bed = await mustOpenBed(t)
      writeRelease(bed.upload, 'one')
      await tree.plant(bed.upload, bed)

      const error = await mustRefuse(takeIn(bed), tree.code ?? 'RELEASE_INVALID')
      assert.match(`${error.message} ${error.hint}`, tree.says)
      assert.ok(error.hint, 'it says what to do')
      assert.deepEqual(await bed.store.list('web'), [])
      assert.deepEqual(leftovers(bed), [])
      tried += 1
    })
  }

  test('and there are at least sixty of them', () => {
    assert.ok(trees.length >= (isRoot ? 60 : 57), `${trees.length} trees`)
  })
})

test('set-user-id, set-group-id, sticky and write bits are not taken over', async (t) => {
  const bed = await mustOpenBed(t)
  writeRelease(bed.upload, 'one')
  for (const [name, mode] of [
    ['suid', 0o4755],
    ['sgid', 0o2755],
    ['open', 0o666],
    ['secret', 0o600],
    ['mine', 0o700],
  ] as const) {
    writeFile(join(bed.upload, name), name, mode)
  }
  mkdirSync(join(bed.upload, 'dir'))
  chmodSync(join(bed.upload, 'dir'), 0o7777)

  const { release } = await takeIn(bed)
  const tree = join(bed.releases, 'web', String(release.number), 'tree')
  const modeOf = (name: string): string => (lstatSync(join(tree, name)).mode & 0o7777).toString(8)
  assert.deepEqual(['suid', 'sgid', 'open', 'secret', 'mine', 'dir'].map(modeOf), [
    '755',
    '755',
    '644',
    '644',
    '755',
    '755',
  ])
})

test('links that stay inside, dangling ones too, are kept as they were written', async (t) => {
  const bed = await mustOpenBed(t)
  writeRelease(bed.upload, 'one')
  const targets = {
    up: 'bin/../etc/app.conf',
    here: '.',
    dangling: 'data/log',
    'bin/conf': '../etc/app.conf',
  }
  for (const [name, target] of Object.entries(targets)) symlinkSync(target, join(bed.upload, name))
  await takeIn(bed)
  await bed.store.install('web', 'blue', 1, { workingDir: bed.blue, user: null, incarnation: 1 })
  for (const [name, target] of Object.entries(targets)) {
    assert.equal(execFileSync('readlink', [join(bed.blue, name)], { encoding: 'utf8' }).trim(), target)
  }
})

test('two names of one file inside the upload are two files of the release', async (t) => {
  const bed = await mustOpenBed(t)
  writeRelease(bed.upload, 'one')
  linkSync(join(bed.upload, 'bin/app'), join(bed.upload, 'bin/app-too'))
  const { release } = await takeIn(bed)
  const tree = join(bed.releases, 'web', String(release.number), 'tree')
  assert.equal(statSync(join(tree, 'bin/app')).nlink, 1)
  assert.equal(textOf(join(tree, 'bin/app-too')), textOf(join(tree, 'bin/app')))
})

describe("what root could read and the upload's owner could not stays unread", {
  skip: !isRoot && 'needs root',
}, () => {
  const SECRET = 'only for root'

  async function mustOpenNobodysBed(t: TestContext) {
    const bed = await mustOpenBed(t)
    const secret = join(bed.root, 'secret')
    writeFile(secret, SECRET, 0o600)
    writeRelease(bed.upload, 'one')
    execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, bed.upload])
    return { bed, secret }
  }

  test('a file that only root may read is refused, by its name', async (t) => {
    const { bed } = await mustOpenNobodysBed(t)
    writeFile(join(bed.upload, 'planted'), SECRET, 0o600)
    const error = await mustRefuse(takeIn(bed), 'RELEASE_INVALID')
    assert.match(error.message, /may not read "planted"/)
  })

  test('a directory that only root may read is refused, by its name', async (t) => {
    const { bed } = await mustOpenNobodysBed(t)
    mkdirSync(join(bed.upload, 'planted'), { mode: 0o700 })
    const error = await mustRefuse(takeIn(bed), 'RELEASE_INVALID')
    assert.match(error.message, /may not read "planted"/)
  })

  test('a hard link to a file of root is refused', async (t) => {
    const { bed, secret } = await mustOpenNobodysBed(t)
    linkSync(secret, join(bed.upload, 'planted'))
    const error = await mustRefuse(takeIn(bed), 'RELEASE_INVALID')
    assert.match(error.message, /hard link to a file outside/)
  })

  test('a hard link is refused in an upload directory of root, too', async (t) => {
    const { bed, secret } = await mustOpenNobodysBed(t)
    chownSync(bed.upload, 0, 0)
    linkSync(secret, join(bed.upload, 'planted'))
    const error = await mustRefuse(takeIn(bed), 'RELEASE_INVALID')
    assert.match(error.message, /hard link to a file outside/)
  })

  test('a caller deploys what he may read himself, and nothing else', async (t) => {
    const { bed } = await mustOpenNobodysBed(t)
    const nobody = { uid: NOBODY, gid: NOBODY }
    const deploy = (path: string) =>
      bed.store.takeIn(
        'web',
        { path, uploader: nobody },
        { executables: [{ path: 'bin/app', mustBeExecutable: true }] },
      )
    assert.equal((await deploy(bed.upload)).release.number, 1)

    const roots = join(bed.root, 'roots')
    writeRelease(roots, 'two')
    chmodSync(roots, 0o700)
    symlinkSync(roots, join(bed.root, 'link'))
    await mustRefuse(deploy(roots), 'RELEASE_INVALID')
    await mustRefuse(deploy(join(bed.root, 'link')), 'RELEASE_INVALID')
  })

  test("an upload directory that is a link to somebody else's directory is refused", async (t) => {
    const { bed } = await mustOpenNobodysBed(t)
    renameSync(bed.upload, join(bed.root, 'elsewhere'))
    symlinkSync(join(bed.root, 'elsewhere'), bed.upload)
    await mustRefuse(takeIn(bed), 'PATH_INVALID')
  })

  test('names that are swapped while they are read never lead out', { timeout: 300_000 }, async (t) => {
    const { bed, secret } = await mustOpenNobodysBed(t)
    for (let i = 0; i < 200; i += 1) writeFile(join(bed.upload, `many/f${i}`), `file ${i}`)
    const racer = spawn('python3', ['-c', RACER, bed.upload, secret], {
      stdio: 'ignore',
      uid: NOBODY,
      gid: NOBODY,
    })
    const exited = once(racer, 'exit')
    bed.defer(() => {
      racer.kill('SIGKILL')
      return exited
    })

    const outcomes = new Set<string>()
    const until = performance.now() + extent(2_000, 60_000)
    while (performance.now() < until) {
      const outcome = await takeIn(bed).then(
        () => 'taken in',
        (error: unknown) => (error as { code?: string }).code ?? String(error),
      )
      outcomes.add(outcome)
    }
    const known = ['taken in', 'UPLOAD_CHANGING', 'RELEASE_INVALID', 'DISK_FULL']
    assert.deepEqual(
      [...outcomes].filter((outcome) => !known.includes(outcome)),
      [],
    )
    const stolen = pathsBelow(bed.releases).filter((path) => {
      const whole = join(bed.releases, path)
      return lstatSync(whole).isFile() && textOf(whole).includes(SECRET)
    })
    assert.deepEqual(stolen, [])
    await mustBeWhole(bed.store)
  })

  /** File, link, directory and link to a directory take turns under two names. */
  const RACER = `
import os, sys
upload, secret = sys.argv[1:]
os.chdir(upload)
os.mkdir('real'); open('real/shadow', 'w').write('harmless')
os.symlink(os.path.dirname(secret), 'aside-link')
while True:
    try:
        open('swap.new', 'w').write('harmless'); os.rename('swap.new', 'swap')
        os.symlink(secret, 'swap.new'); os.rename('swap.new', 'swap')
        os.rename('real', 'tree'); os.rename('tree', 'real')
        os.rename('aside-link', 'tree'); os.rename('tree', 'aside-link')
    except OSError:
        pass
`
})

describe('an upload that changes while it is read', () => {
  test('is refused after three more tries, naming what kept changing', { timeout: 60_000 }, async (t) => {
    const bed = await mustOpenBed(t)
    writeRelease(bed.upload, 'one')
    writeFile(join(bed.upload, 'growing'), 'x'.repeat(4096))
    let tries = 0
    const growing = setInterval(() => appendFileSync(join(bed.upload, 'growing'), 'y'), 1)
    t.after(() => clearInterval(growing))
    const error = await mustRefuse(takeIn(bed, { onProgress: () => (tries += 1) }), 'UPLOAD_CHANGING')
    assert.match(error.message, /"growing"/)
    assert.deepEqual(await bed.store.list('web'), [])
    assert.deepEqual(leftovers(bed), [])
  })
})
