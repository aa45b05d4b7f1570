import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { programArgv } from '../../src/platform/programs.ts'
import {
  isRoot,
  leftovers,
  mustBeWhole,
  mustOpenBed,
  mustRefuse,
  NOBODY,
  openStore,
  pathsBelow,
  type ReleaseBed,
  takeIn,
  textOf,
  writeFile,
  writeRelease,
} from './release-bed.ts'

const treeOf = ({ releases }: ReleaseBed, number: number): string =>
  join(releases, 'web', String(number), 'tree')

test('an upload becomes release 1, and the next one release 2', async (t) => {
  const bed = await mustOpenBed(t)
  writeRelease(bed.upload, 'one')
  const first = await takeIn(bed)
  assert.equal(first.isNew, true)
  assert.equal(first.release.number, 1)
  assert.equal(first.release.files, 2)
  assert.match(first.release.digest, /^sha256:[0-9a-f]{64}$/)
  assert.deepEqual(pathsBelow(treeOf(bed, 1)), ['bin', 'bin/app', 'etc', 'etc/app.conf'])

  writeRelease(bed.upload, 'two')
  assert.equal((await takeIn(bed)).release.number, 2)
  assert.match(textOf(join(treeOf(bed, 1), 'etc/app.conf')), /one/)
  assert.deepEqual(
    (await bed.store.list('web')).map(({ number }) => number),
    [1, 2],
  )
})

test('the same content again is the same release, whatever its times and owners', async (t) => {
  const bed = await mustOpenBed(t)
  writeRelease(bed.upload, 'one')
  const first = await takeIn(bed)
  rmSync(bed.upload, { recursive: true })
  writeRelease(bed.upload, 'one')
  assert.deepEqual(await takeIn(bed), { release: first.release, isNew: false, warning: null })
  assert.deepEqual(leftovers(bed), [])
})

test('an execute bit, an empty directory and a link each make another release', async (t) => {
  const bed = await mustOpenBed(t)
  writeRelease(bed.upload, 'one')
  await takeIn(bed)
  chmodSync(join(bed.upload, 'etc/app.conf'), 0o755)
  assert.equal((await takeIn(bed)).release.number, 2)
  mkdirSync(join(bed.upload, 'empty'))
  assert.equal((await takeIn(bed)).release.number, 3)
})

test('numbers are not given again after their releases were removed, nor after a restart', async (t) => {
  const bed = await mustOpenBed(t)
  for (const version of ['one', 'two', 'three']) {
    writeRelease(bed.upload, version)
    await takeIn(bed)
  }
  assert.deepEqual(await bed.store.prune('web', { keep: 1, keepBytes: null, inUse: () => [1] }), [2])
  await bed.store.remove('web', 3)
  const reopened = { ...bed, store: await openStore(bed.releases, bed.slots) }
  writeRelease(bed.upload, 'four')
  assert.equal((await takeIn(reopened)).release.number, 4)
  assert.deepEqual(
    (await reopened.store.list('web')).map(({ number }) => number),
    [1, 4],
  )
})

test('beyond keepBytes the oldest go first, but none that is in use, nor the newest', async (t) => {
  const bed = await mustOpenBed(t)
  for (const version of ['a', 'b', 'c', 'd']) {
    writeRelease(bed.upload, version)
    await takeIn(bed)
  }
  const bytes = (await bed.store.list('web'))[0]?.bytes ?? 0
  const prune = (keepBytes: number, inUse: number[]) =>
    bed.store.prune('web', { keep: 9, keepBytes, inUse: () => inUse })
  assert.deepEqual(await prune(4 * bytes, []), [])
  assert.deepEqual(await prune(3 * bytes, [1]), [2])
  assert.deepEqual(await prune(0, [1]), [3])
  assert.deepEqual(await prune(0, []), [1])
  assert.equal(await mustBeWhole(bed.store), 1)
})

test('an upload with more files than the disk has inodes is refused with numbers', {
  skip: !isRoot && 'needs root',
}, async (t) => {
  const bed = await mustOpenBed(t)
  const small = join(bed.root, 'small')
  mkdirSync(small)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m,nr_inodes=60', 'tmpfs', small])
  bed.defer(() => execFileSync('umount', [small]))
  const store = await openStore(join(small, 'releases'), join(small, 'apps'))
  writeRelease(bed.upload, 'one')
  for (let i = 0; i < 60; i += 1) writeFile(join(bed.upload, `many/${i}`), `${i}`)
  const { message } = await mustRefuse(takeIn({ ...bed, store }), 'DISK_FULL')
  assert.match(message, /73 inodes are needed, [0-9]+ are free/)
  assert.deepEqual(await store.list('web'), [])
})

describe('an upload that cannot be a release', () => {
  test('there is none', async (t) => {
    const bed = await mustOpenBed(t)
    rmSync(bed.upload, { recursive: true })
    await mustRefuse(takeIn(bed), 'UPLOAD_MISSING')
  })

  test('it is a file', async (t) => {
    const bed = await mustOpenBed(t)
    rmSync(bed.upload, { recursive: true })
    writeFileSync(bed.upload, 'x')
    await mustRefuse(takeIn(bed), 'UPLOAD_MISSING')
  })

  test('it is empty', async (t) => {
    await mustRefuse(takeIn(await mustOpenBed(t)), 'RELEASE_EMPTY')
  })

  test('it lacks the executable: the error names one that is near', async (t) => {
    const bed = await mustOpenBed(t)
    writeRelease(bed.upload, 'one')
    const executables = [{ path: 'bin/ap', mustBeExecutable: true }]
    const error = await mustRefuse(takeIn(bed, { executables }), 'RELEASE_INVALID')
    assert.match(error.message, /"bin\/ap" is not in the upload/)
    assert.match(error.hint ?? '', /"bin\/app"/)
  })

  test('it lacks what the second slot is to run', async (t) => {
    const bed = await mustOpenBed(t)
    writeRelease(bed.upload, 'one')
    const executables = ['bin/app', 'bin/other'].map((path) => ({ path, mustBeExecutable: true }))
    const error = await mustRefuse(takeIn(bed, { executables }), 'RELEASE_INVALID')
    assert.match(error.message, /"bin\/other" is not in the upload/)
  })

  test('the executable is not executable: the error says chmod', async (t) => {
    const bed = await mustOpenBed(t)
    writeRelease(bed.upload, 'one')
    chmodSync(join(bed.upload, 'bin/app'), 0o644)
    const error = await mustRefuse(takeIn(bed), 'RELEASE_INVALID')
    assert.match(error.hint ?? '', /chmod \+x bin\/app/)
    const executables = [{ path: 'bin/app', mustBeExecutable: false }]
    assert.equal((await takeIn(bed, { executables })).release.number, 1)
  })

  test('it is larger than allowed', async (t) => {
    const bed = await mustOpenBed(t)
    writeRelease(bed.upload, 'one')
    truncateSync(join(bed.upload, 'etc/app.conf'), 2_000_000)
    await mustRefuse(takeIn(bed, { maxTotalBytes: 1_000_000 }), 'RELEASE_INVALID')
  })
})

test('a disk that is full refuses with numbers, keeps the store as it is, and works again later', {
  skip: !isRoot && 'needs root',
}, async (t) => {
  const bed = await mustOpenBed(t)
  const small = join(bed.root, 'small')
  mkdirSync(small)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', small])
  bed.defer(() => execFileSync('umount', [small]))
  const onSmall = {
    ...bed,
    releases: join(small, 'releases'),
    store: await openStore(join(small, 'releases'), join(small, 'apps')),
  }
  writeRelease(bed.upload, 'one')
  await takeIn(onSmall)

  writeFile(join(bed.upload, 'big'), 'x'.repeat(9 * 2 ** 20))
  assert.match(
    (await mustRefuse(takeIn(onSmall), 'DISK_FULL')).message,
    /[0-9]+ bytes are needed, [0-9]+ are usable/,
  )

  // Many small files: their blocks need far more than their bytes.
  rmSync(join(bed.upload, 'big'))
  for (let i = 0; i < 3000; i += 1) writeFile(join(bed.upload, `many/${i}`), `${i}`)
  await mustRefuse(takeIn(onSmall), 'DISK_FULL')
  assert.deepEqual(
    (await onSmall.store.list('web')).map(({ number }) => number),
    [1],
  )
  assert.deepEqual(leftovers(onSmall), [])

  rmSync(join(bed.upload, 'many'), { recursive: true })
  writeRelease(bed.upload, 'two')
  assert.equal((await takeIn(onSmall)).release.number, 2)
})

describe('a take-in that is cut short', () => {
  test('by the caller leaves nothing and frees the way for the next one', async (t) => {
    const bed = await mustOpenBed(t)
    writeRelease(bed.upload, 'one')
    for (let i = 0; i < 2000; i += 1) writeFile(join(bed.upload, `many/${i}`), `${i}`)
    const abort = new AbortController()
    const cut = takeIn(bed, { signal: abort.signal, onProgress: () => abort.abort(new Error('enough')) })
    await assert.rejects(cut, /enough/)
    assert.equal((await takeIn(bed)).release.number, 1)
    assert.deepEqual(leftovers(bed), [])
  })

  test('by SIGKILL at any moment leaves every release whole, and its leftovers go at the next start', {
    timeout: 120_000,
  }, async (t) => {
    const bed = await mustOpenBed(t)
    const rounds = 20
    for (let i = 0; i < 300; i += 1) writeFile(join(bed.upload, `many/${i}`), `${i}`.repeat(1000))
    for (let round = 0; round < rounds; round += 1) {
      writeRelease(bed.upload, `round ${round}`)
      await killCopierAfter(bed, (round / rounds) * 250)
    }
    const store = await openStore(bed.releases, bed.slots)
    assert.deepEqual(leftovers(bed), [])
    await mustBeWhole(store)
    assert.deepEqual(
      readdirSync(join(bed.releases, 'web'))
        .filter((name) => /^[0-9]+$/.test(name))
        .map(Number)
        .sort((a, b) => a - b),
      (await store.list('web')).map(({ number }) => number),
    )
    const before = (await store.list('web')).at(-1)?.number ?? 0
    writeRelease(bed.upload, 'the last')
    assert.ok((await takeIn({ ...bed, store })).release.number > before)
  })

  /** Starts a copier as the store does, and kills it. */
  async function killCopierAfter({ releases, upload }: ReleaseBed, ms: number): Promise<void> {
    const [program, ...args] = programArgv('dorc-copier')
    const copier = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    const exited = once(copier, 'exit')
    const job = {
      appPath: join(releases, 'web'),
      sourcePath: upload,
      uploader: null,
      executables: [{ path: 'bin/app', mustBeExecutable: true }],
      maxTotalBytes: null,
    }
    copier.stdin.write(`${JSON.stringify({ kind: 'take-in', args: job })}\n`)
    // The first line of progress: it is at work; from here on the moment of death is swept.
    await Promise.race([once(copier.stdout, 'data'), exited])
    copier.stdout.resume()
    const timer = setTimeout(() => copier.kill('SIGKILL'), ms)
    await exited
    clearTimeout(timer)
  }
})

describe('a store that was damaged', () => {
  test('lists and serves the other releases when the record of one is unreadable', async (t) => {
    const bed = await mustOpenBed(t)
    for (const version of ['one', 'two']) {
      writeRelease(bed.upload, version)
      await takeIn(bed)
    }
    const record = join(bed.releases, 'web/1/release.json')
    writeFileSync(record, '{"number":1')
    assert.deepEqual(
      (await bed.store.list('web')).map(({ number }) => number),
      [2],
    )
    const { deviations } = await bed.store.verify('web', 1)
    assert.deepEqual(
      deviations.map(({ path }) => path),
      ['1'],
    )
    assert.match(deviations[0]?.problem ?? '', /^cannot be read: /)
    await bed.store.install('web', 'blue', 2, { workingDir: bed.blue, user: null, incarnation: 1 })
  })

  test('finds a flipped bit when it verifies, and installs nothing of it', async (t) => {
    const bed = await mustOpenBed(t)
    for (const version of ['one', 'two']) {
      writeRelease(bed.upload, version)
      await takeIn(bed)
    }
    await bed.store.install('web', 'blue', 1, { workingDir: bed.blue, user: null, incarnation: 1 })
    writeFileSync(join(treeOf(bed, 2), 'etc/app.conf'), 'version=twp\n')
    const { deviations } = await bed.store.verify('web', 2)
    assert.deepEqual(
      deviations.map(({ path }) => path),
      ['etc/app.conf'],
    )
    await mustRefuse(
      bed.store.install('web', 'blue', 2, { workingDir: bed.blue, user: null, incarnation: 2 }),
      'STATE_CORRUPT',
    )
    assert.match(textOf(join(bed.blue, 'etc/app.conf')), /one/)
    assert.equal((await bed.store.installed('web', 'blue'))?.incarnation, 1)
  })

  test('finds a manifest that was changed', async (t) => {
    const bed = await mustOpenBed(t)
    writeRelease(bed.upload, 'one')
    await takeIn(bed)
    writeFileSync(join(bed.releases, 'web/1/manifest'), '["l","planted","/etc"]\n')
    await mustRefuse(
      bed.store.install('web', 'blue', 1, { workingDir: bed.blue, user: null, incarnation: 1 }),
      'STATE_CORRUPT',
    )
  })
})

test('a release that is not there is RELEASE_UNKNOWN', async (t) => {
  const bed = await mustOpenBed(t)
  await mustRefuse(bed.store.verify('web', 7), 'RELEASE_UNKNOWN')
  await mustRefuse(
    bed.store.install('web', 'blue', 7, { workingDir: bed.blue, user: null, incarnation: 1 }),
    'RELEASE_UNKNOWN',
  )
})

test('an app that is removed leaves nothing in the store', async (t) => {
  const bed = await mustOpenBed(t)
  writeRelease(bed.upload, 'one')
  await takeIn(bed)
  await bed.store.uploads.save('web', 'abc')
  assert.equal(await bed.store.uploads.load('web'), 'abc')
  await bed.store.removeApp('web')
  await bed.store.removeApp('web')
  assert.deepEqual(readdirSync(bed.releases), [])
  assert.equal(await bed.store.uploads.load('web'), null)
})

test('an unprivileged user can do all of it, with his own rights', {
  skip: !isRoot && 'needs root',
}, async (t) => {
  const bed = await mustOpenBed(t)
  writeRelease(bed.upload, 'one')
  const home = join(bed.root, 'home')
  mkdirSync(home)
  chownSync(home, NOBODY, NOBODY)
  const script = `
    import { createReleaseStore } from ${JSON.stringify(new URL('../../src/releases/release-store.ts', import.meta.url).href)}
    const quiet = { info() {}, warn() {}, error() {}, child: () => quiet }
    const store = await createReleaseStore({ signersPath: '${home}', releasesPath: '${home}/releases', slotsPath: '${home}/apps', log: quiet })
    const executables = [{ path: 'bin/app', mustBeExecutable: true }]
    await store.takeIn('web', { path: '${bed.upload}', uploader: { uid: 12345, gid: 12345 } }, { executables })
    await store.install('web', 'blue', 1, { workingDir: '${home}/apps/web/blue', user: null, incarnation: 1 })
    console.log(JSON.stringify(await store.installed('web', 'blue')))`
  const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], {
    uid: NOBODY,
    gid: NOBODY,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const output = (await Array.fromAsync(child.stdout)).join('')
  assert.equal((JSON.parse(output) as { release: number }).release, 1)
  assert.match(textOf(join(home, 'apps/web/blue/etc/app.conf')), /one/)
})
