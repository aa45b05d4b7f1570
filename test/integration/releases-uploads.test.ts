import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../src/platform/clock.ts'
import { type UploadWatch, watchUploads } from '../../src/releases/upload-watch.ts'
import {
  mustOpenBed,
  pathsBelow,
  type ReleaseBed,
  silentLog,
  takeIn,
  textOf,
  writeFile,
  writeRelease,
} from './release-bed.ts'

const SETTLE_MS = 500

interface WatchedBed extends ReleaseBed {
  readonly watch: UploadWatch
  /** Numbers of the releases that the watch had taken in, in order. */
  readonly taken: readonly number[]
  mustTake(number: number): Promise<void>
}

/** Takes in whatever the watch finds still, as the daemon does. */
async function mustWatch(t: TestContext, given?: ReleaseBed): Promise<WatchedBed> {
  const bed = given ?? (await mustOpenBed(t))
  const taken: number[] = []
  const watch = watchUploads({
    app: 'web',
    uploadDir: bed.upload,
    settleMs: SETTLE_MS,
    handled: {
      load: () => bed.store.uploads.load('web'),
      save: (fingerprint) => bed.store.uploads.save('web', fingerprint),
    },
    clock: systemClock,
    log: silentLog,
    onStill: async () => {
      const { release } = await takeIn(bed, { executables: [{ path: 'bin/app', mustBeExecutable: false }] })
      taken.push(release.number)
      return 'handled'
    },
  })
  bed.defer(() => watch.close())
  const mustTake = (number: number): Promise<void> =>
    mustHappen(() => taken.includes(number), `release ${number} is taken in`)
  return { ...bed, watch, taken, mustTake }
}

async function mustHappen(condition: () => boolean, what: string): Promise<void> {
  const until = performance.now() + 20_000
  while (!condition()) {
    assert.ok(performance.now() < until, `within 20 s ${what}`)
    await sleep(20)
  }
}

const treeOf = (bed: ReleaseBed, number: number): string => join(bed.releases, 'web', String(number), 'tree')

test('what lies there at the start is taken in, and not again by the next watch', async (t) => {
  const bed = await mustOpenBed(t)
  writeRelease(bed.upload, 'one')
  const first = await mustWatch(t, bed)
  await first.mustTake(1)
  await mustHappen(
    () => readdirSync(join(bed.releases, 'web')).includes('upload'),
    'the upload is remembered',
  )
  first.watch.close()

  const second = await mustWatch(t, bed)
  await sleep(SETTLE_MS * 4)
  assert.deepEqual(second.taken, [])
  writeRelease(bed.upload, 'two')
  await second.mustTake(2)
})

test('a chmod is a change, too', async (t) => {
  const bed = await mustWatch(t)
  writeRelease(bed.upload, 'one')
  await bed.mustTake(1)
  execFileSync('chmod', ['+x', join(bed.upload, 'etc/app.conf')])
  await bed.mustTake(2)
})

test('a directory that vanishes and comes back is watched on', async (t) => {
  const bed = await mustWatch(t)
  writeRelease(bed.upload, 'one')
  await bed.mustTake(1)
  rmSync(bed.upload, { recursive: true })
  bed.watch.rescan()
  await sleep(SETTLE_MS)
  mkdirSync(bed.upload)
  writeRelease(bed.upload, 'two')
  await bed.mustTake(2)
})

test('a directory that is replaced by rename is found without a hint, whole', async (t) => {
  const bed = await mustWatch(t)
  writeRelease(bed.upload, 'one')
  await bed.mustTake(1)
  writeRelease(join(bed.root, 'next'), 'two')
  renameSync(bed.upload, join(bed.root, 'before'))
  renameSync(join(bed.root, 'next'), bed.upload)
  await bed.mustTake(2)
  assert.match(textOf(join(treeOf(bed, 2), 'etc/app.conf')), /two/)
})

test('a file that grows is not taken in before its end', async (t) => {
  const bed = await mustWatch(t)
  writeRelease(bed.upload, 'one')
  const growing = join(bed.upload, 'growing')
  for (let i = 0; i < 40; i += 1) {
    appendFileSync(growing, `${i}\n`)
    await sleep(SETTLE_MS / 10)
  }
  assert.deepEqual(bed.taken, [])
  await bed.mustTake(1)
  assert.equal(textOf(join(treeOf(bed, 1), 'growing')).split('\n').length, 41)
})

test('a file that is open for writing is not taken in, however still it is', async (t) => {
  const bed = await mustWatch(t)
  writeRelease(bed.upload, 'one')
  const fd = openSync(join(bed.upload, 'stalled'), 'w')
  writeSync(fd, 'half')
  await sleep(SETTLE_MS * 6)
  assert.deepEqual(bed.taken, [])
  writeSync(fd, ' and half')
  closeSync(fd)
  await bed.mustTake(1)
  assert.equal(textOf(join(treeOf(bed, 1), 'stalled')), 'half and half')
})

test('a file that is only read does not hold an upload up', async (t) => {
  const bed = await mustWatch(t)
  writeRelease(bed.upload, 'one')
  const fd = openSync(join(bed.upload, 'bin/app'), 'r')
  bed.defer(() => closeSync(fd))
  await bed.mustTake(1)
})

test('an rsync of many files is taken in once, whole, though it pauses', { timeout: 60_000 }, async (t) => {
  const bed = await mustWatch(t)
  const source = join(bed.root, 'source')
  writeRelease(source, 'one')
  for (let i = 0; i < 200; i += 1) writeFile(join(source, `dir${i % 10}/f${i}`), 'x'.repeat(5_000))
  const rsync = spawn('rsync', ['-a', '--bwlimit=300', `${source}/`, `${bed.upload}/`], { stdio: 'ignore' })
  const exited = once(rsync, 'exit')
  bed.defer(() => rsync.kill('SIGKILL'))
  // A stall as of a bad network, longer than it takes to count as still.
  await mustHappen(() => readdirSync(bed.upload).length > 3, 'rsync is at work')
  execFileSync('pkill', ['-STOP', '-P', String(rsync.pid)])
  rsync.kill('SIGSTOP')
  await sleep(SETTLE_MS * 5)
  assert.deepEqual(bed.taken, [])
  execFileSync('pkill', ['-CONT', '-P', String(rsync.pid)])
  rsync.kill('SIGCONT')
  await exited
  await bed.mustTake(1)
  assert.deepEqual(pathsBelow(treeOf(bed, 1)), pathsBelow(source))
  assert.deepEqual(bed.taken, [1])
})

test('two uploads that interleave never make a release of half of each', { timeout: 60_000 }, async (t) => {
  const bed = await mustWatch(t)
  const NAMES = Array.from({ length: 20 }, (_, i) => `f${i}`)
  writeRelease(bed.upload, 'base')
  const upload = async (version: string): Promise<void> => {
    for (const name of NAMES) {
      writeFileSync(join(bed.upload, name), version)
      await sleep(SETTLE_MS / 20)
    }
  }
  await Promise.all([upload('a'), sleep(SETTLE_MS / 4).then(() => upload('b'))])
  await bed.mustTake(1)
  const versions = new Set(NAMES.map((name) => textOf(join(treeOf(bed, 1), name))))
  assert.deepEqual([...versions], ['b'])
})

test('what was not dealt with is offered again, later each time', { timeout: 60_000 }, async (t) => {
  const bed = await mustOpenBed(t)
  writeRelease(bed.upload, 'one')
  const at: number[] = []
  const watch = watchUploads({
    app: 'web',
    uploadDir: bed.upload,
    settleMs: SETTLE_MS,
    handled: { load: () => null, save: () => undefined },
    clock: systemClock,
    log: silentLog,
    onStill: () => {
      at.push(performance.now())
      return Promise.resolve(at.length < 2 ? 'retry' : 'handled')
    },
  })
  bed.defer(() => watch.close())
  await mustHappen(() => at.length === 2, 'it is offered twice')
  const [first = 0, second = 0] = at
  assert.ok(second - first > 4_000, `${second - first} ms between`)
})
