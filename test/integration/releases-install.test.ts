import assert from 'node:assert/strict'
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import {
  isRoot,
  mustOpenBed,
  mustRefuse,
  NOBODY,
  pathsBelow,
  type ReleaseBed,
  takeIn,
  textOf,
  writeFile,
  writeRelease,
} from './release-bed.ts'

/** Takes in what `change` makes of the upload, and installs it into blue. */
async function deploy(bed: ReleaseBed, incarnation: number, change: (upload: string) => void): Promise<void> {
  change(bed.upload)
  const { release } = await takeIn(bed)
  await bed.store.install('web', 'blue', release.number, { workingDir: bed.blue, user: null, incarnation })
}

async function mustDeployFirst(t: TestContext): Promise<ReleaseBed> {
  const bed = await mustOpenBed(t)
  await deploy(bed, 1, (upload) => {
    writeRelease(upload, 'one')
    writeFile(join(upload, 'only-in-one/file'), 'x')
  })
  return bed
}

test('an empty slot says so, and a filled one what is in it', async (t) => {
  const bed = await mustOpenBed(t)
  assert.equal(await bed.store.installed('web', 'blue'), null)
  await deploy(bed, 3, (upload) => writeRelease(upload, 'one'))
  const [release] = await bed.store.list('web')
  assert.deepEqual(await bed.store.installed('web', 'blue'), {
    incarnation: 3,
    release: 1,
    digest: release?.digest,
  })
  assert.equal(await bed.store.installed('web', 'green'), null)
  assert.equal(statSync(join(bed.blue, 'bin/app')).mode & 0o7777, 0o755)
  assert.equal(statSync(join(bed.blue, 'etc/app.conf')).mode & 0o7777, 0o644)
})

test('files that the new release lacks go, files that the app made stay', async (t) => {
  const bed = await mustDeployFirst(t)
  writeFile(join(bed.blue, 'data/state.db'), 'precious')
  writeFile(join(bed.blue, 'etc/app.local'), 'precious')
  await deploy(bed, 2, (upload) => {
    rmSync(join(upload, 'only-in-one'), { recursive: true })
    writeRelease(upload, 'two')
  })
  assert.deepEqual(pathsBelow(bed.blue), [
    'bin',
    'bin/app',
    'data',
    'data/state.db',
    'etc',
    'etc/app.conf',
    'etc/app.local',
  ])
  assert.match(textOf(join(bed.blue, 'etc/app.conf')), /two/)
})

test('a directory of the old release stays as long as the app has something in it', async (t) => {
  const bed = await mustDeployFirst(t)
  writeFile(join(bed.blue, 'only-in-one/mine'), 'precious')
  await deploy(bed, 2, (upload) => rmSync(join(upload, 'only-in-one'), { recursive: true }))
  assert.deepEqual(readdirSync(join(bed.blue, 'only-in-one')), ['mine'])
})

test('a file can become a directory, a directory a link, and a link a file', async (t) => {
  const bed = await mustOpenBed(t)
  await deploy(bed, 1, (upload) => {
    writeRelease(upload, 'one')
    writeFile(join(upload, 'a'), 'file')
    writeFile(join(upload, 'b/inner'), 'x')
    symlinkSync('a', join(upload, 'c'))
  })
  await deploy(bed, 2, (upload) => {
    for (const name of ['a', 'b', 'c']) rmSync(join(upload, name), { recursive: true })
    writeFile(join(upload, 'a/inner'), 'x')
    symlinkSync('a', join(upload, 'b'))
    writeFile(join(upload, 'c'), 'file')
  })
  assert.equal(textOf(join(bed.blue, 'a/inner')), 'x')
  assert.ok(lstatSync(join(bed.blue, 'b')).isSymbolicLink())
  assert.ok(lstatSync(join(bed.blue, 'c')).isFile())
})

test('installing the same again keeps files that are right, and mends those that are not', async (t) => {
  const bed = await mustDeployFirst(t)
  const before = statSync(join(bed.blue, 'bin/app'))
  writeFileSync(join(bed.blue, 'etc/app.conf'), 'version=bad\n')
  await bed.store.install('web', 'blue', 1, { workingDir: bed.blue, user: null, incarnation: 2 })
  assert.equal(statSync(join(bed.blue, 'bin/app')).ino, before.ino)
  assert.match(textOf(join(bed.blue, 'etc/app.conf')), /one/)
  assert.equal((await bed.store.installed('web', 'blue'))?.incarnation, 2)
})

describe('what an app planted in its slot', () => {
  const victims = async (t: TestContext) => {
    const bed = await mustDeployFirst(t)
    const outside = join(bed.root, 'outside')
    writeFile(join(outside, 'app'), 'not yours')
    writeFile(join(outside, 'file'), 'not yours')
    return {
      bed,
      outside,
      assertUntouched: () =>
        assert.deepEqual(
          ['app', 'file'].map((name) => textOf(join(outside, name))),
          ['not yours', 'not yours'],
        ),
    }
  }

  test('a link in place of a directory is replaced, not followed', async (t) => {
    const { bed, outside, assertUntouched } = await victims(t)
    rmSync(join(bed.blue, 'bin'), { recursive: true })
    symlinkSync(outside, join(bed.blue, 'bin'))
    await deploy(bed, 2, (upload) => writeRelease(upload, 'two'))
    assertUntouched()
    assert.ok(lstatSync(join(bed.blue, 'bin')).isDirectory())
    assert.match(textOf(join(bed.blue, 'bin/app')), /two/)
  })

  test('a link in place of a directory whose files go is not followed', async (t) => {
    const { bed, outside, assertUntouched } = await victims(t)
    rmSync(join(bed.blue, 'only-in-one'), { recursive: true })
    symlinkSync(outside, join(bed.blue, 'only-in-one'))
    await deploy(bed, 2, (upload) => rmSync(join(upload, 'only-in-one'), { recursive: true }))
    assertUntouched()
  })

  test('a link in place of a file is replaced, not written through', async (t) => {
    const { bed, outside, assertUntouched } = await victims(t)
    rmSync(join(bed.blue, 'bin/app'))
    symlinkSync(join(outside, 'app'), join(bed.blue, 'bin/app'))
    await deploy(bed, 2, (upload) => writeRelease(upload, 'two'))
    assertUntouched()
    assert.ok(lstatSync(join(bed.blue, 'bin/app')).isFile())
  })

  test('a link named as the staging directory is removed, not used', async (t) => {
    const { bed, outside, assertUntouched } = await victims(t)
    symlinkSync(outside, join(bed.blue, '.dorc-staging'))
    await deploy(bed, 2, (upload) => writeRelease(upload, 'two'))
    assertUntouched()
    assert.ok(!existsSync(join(bed.blue, '.dorc-staging')))
  })

  test('a directory in place of a file gives way', async (t) => {
    const { bed } = await victims(t)
    rmSync(join(bed.blue, 'bin/app'))
    writeFile(join(bed.blue, 'bin/app/in/the/way'), 'x')
    await deploy(bed, 2, (upload) => writeRelease(upload, 'two'))
    assert.match(textOf(join(bed.blue, 'bin/app')), /two/)
  })

  test('a purge follows no link out of the slot', async (t) => {
    const { bed, outside, assertUntouched } = await victims(t)
    symlinkSync(outside, join(bed.blue, 'link'))
    await bed.store.uninstall('web', 'blue', { purge: true, workingDir: bed.blue })
    assertUntouched()
    assert.ok(!existsSync(bed.blue))
  })

  test('belongs to root afterwards, if the release has it: the app can add files and not replace ours', {
    skip: !isRoot && 'needs root',
  }, async (t) => {
    const { bed } = await victims(t)
    mkdirSync(join(bed.blue, 'later'))
    chownSync(join(bed.blue, 'later'), NOBODY, NOBODY)
    await deploy(bed, 2, (upload) => writeFile(join(upload, 'later/file'), 'x'))
    for (const name of ['', 'later', 'bin']) {
      const { uid, mode } = statSync(join(bed.blue, name))
      assert.deepEqual([uid, mode & 0o7777], [0, 0o1777], name)
    }
    assert.equal(statSync(join(bed.blue, 'later/file')).uid, 0)
  })
})

describe('a working directory that others can reach', { skip: !isRoot && 'needs root' }, () => {
  for (const [user, wanted] of [
    [null, { gid: 0, mode: 0o755 }],
    ['daemon', { gid: 1, mode: 0o1775 }],
  ] as const)
    test(`lets ${user === null ? 'nobody' : 'the group of its user'} make files beside the release`, async (t) => {
      const bed = await mustDeployFirst(t)
      const outside = mkdtempSync(join(tmpdir(), 'dorc-outside-'))
      t.after(() => rmSync(outside, { recursive: true }))
      const workingDir = join(outside, 'blue')
      await bed.store.install('web', 'blue', 1, { workingDir, user, incarnation: 3 })
      for (const name of ['', 'bin']) {
        const { uid, gid, mode } = statSync(join(workingDir, name))
        assert.deepEqual({ uid, gid, mode: mode & 0o7777 }, { uid: 0, ...wanted }, name)
      }
    })
})

describe('uninstalling', () => {
  test('takes the files of the release and leaves those of the app', async (t) => {
    const bed = await mustDeployFirst(t)
    writeFile(join(bed.blue, 'data/state.db'), 'precious')
    await bed.store.uninstall('web', 'blue', { purge: false, workingDir: bed.blue })
    assert.deepEqual(pathsBelow(bed.blue), ['data', 'data/state.db'])
    assert.equal(await bed.store.installed('web', 'blue'), null)
    await bed.store.uninstall('web', 'blue', { purge: false, workingDir: bed.blue })
  })

  test("never empties a directory of the user's own, even when it purges", async (t) => {
    const bed = await mustOpenBed(t)
    const workingDir = join(bed.root, 'srv')
    writeFile(join(workingDir, 'letters.txt'), 'precious')
    writeRelease(bed.upload, 'one')
    await takeIn(bed)
    await bed.store.install('web', 'blue', 1, { workingDir, user: null, incarnation: 1 })
    await bed.store.uninstall('web', 'blue', { purge: true, workingDir })
    assert.deepEqual(pathsBelow(workingDir), ['letters.txt'])
  })
})

describe('a working directory that cannot be one is refused', () => {
  const cases = ['/', '/srv', 'relative/path', '/proc/self/cwd', '/srv/../etc', '/srv/web/']
  for (const workingDir of cases) {
    test(workingDir, async (t) => {
      const bed = await mustOpenBed(t)
      writeRelease(bed.upload, 'one')
      await takeIn(bed)
      await mustRefuse(
        bed.store.install('web', 'blue', 1, { workingDir, user: null, incarnation: 1 }),
        'PATH_INVALID',
      )
    })
  }

  test('a link, a file, and a directory whose parent is missing', async (t) => {
    const bed = await mustOpenBed(t)
    writeRelease(bed.upload, 'one')
    await takeIn(bed)
    symlinkSync('/etc', join(bed.root, 'link'))
    writeFileSync(join(bed.root, 'file'), '')
    for (const name of ['link', 'file', 'missing/blue']) {
      const workingDir = join(bed.root, name)
      await mustRefuse(
        bed.store.install('web', 'blue', 1, { workingDir, user: null, incarnation: 1 }),
        'PATH_INVALID',
      )
    }
  })
})
