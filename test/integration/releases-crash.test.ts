import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { programArgv } from '../../src/platform/programs.ts'
import {
  leftovers,
  mustBeWhole,
  mustOpenBed,
  openStore,
  pathsBelow,
  type ReleaseBed,
  takeIn,
  textOf,
  writeFile,
  writeRelease,
} from './release-bed.ts'

const hasStrace = spawnSync('strace', ['-V']).status === 0

/** Runs one job in a copier under strace, with a fault injected; returns its last line, or null if it died. */
async function runFaulty(job: object, inject: string): Promise<{ type: string; message?: string } | null> {
  const [syscalls = ''] = inject.split(':')
  const strace = [
    'strace',
    '-f',
    '-qq',
    '-o',
    '/dev/null',
    '-e',
    `trace=${syscalls}`,
    '-e',
    `inject=${inject}`,
  ]
  const [program = '', ...args] = [...strace, ...programArgv('dorc-copier')]
  const copier = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'] })
  copier.stdin.on('error', () => undefined)
  copier.stdin.write(`${JSON.stringify(job)}\n`)
  const lines = (await Array.fromAsync(copier.stdout)).join('').trim().split('\n')
  const last = lines.at(-1) ?? ''
  if (last === '') return null
  const parsed = JSON.parse(last) as { type: string; message?: string }
  return parsed.type === 'progress' ? null : parsed
}

const takeInJob = ({ releases, upload }: ReleaseBed) => ({
  kind: 'take-in',
  args: {
    appPath: join(releases, 'web'),
    sourcePath: upload,
    uploader: null,
    executables: [{ path: 'bin/app', mustBeExecutable: true }],
    maxTotalBytes: null,
    signature: null,
  },
})

const installJob = ({ releases, slots, blue }: ReleaseBed, number: number) => ({
  kind: 'install',
  args: {
    appPath: join(releases, 'web'),
    number,
    slot: 'blue',
    incarnation: number,
    slotsPath: slots,
    recordsPath: join(slots, 'web'),
    workingDir: blue,
  },
})

/** The calls by which something comes to be, or goes. */
const STEPS = ['renameat2', 'mkdirat', 'unlinkat', 'fsync', 'syncfs'] as const

describe('a copier that dies at any of its steps', { skip: !hasStrace && 'needs strace' }, () => {
  test('leaves a store where the release is whole or not there', { timeout: 240_000 }, async (t) => {
    const bed = await mustOpenBed(t)
    for (const step of STEPS) {
      for (let nth = 1; nth <= 12; nth += 1) {
        writeRelease(bed.upload, `${step} ${nth}`)
        const ended = await runFaulty(takeInJob(bed), `${step}:signal=KILL:when=${nth}`)
        const store = await openStore(bed.releases, bed.slots)
        assert.deepEqual(leftovers(bed), [], `${step} ${nth}`)
        await mustBeWhole(store)
        if (ended !== null) break
      }
    }
    const names = readdirSync(join(bed.releases, 'web')).filter((name) => /^[0-9]+$/.test(name))
    assert.equal(names.length, (await bed.store.list('web')).length)
  })

  test('leaves a slot that says it is installed only if all of it is', { timeout: 240_000 }, async (t) => {
    const bed = await mustOpenBed(t)
    writeRelease(bed.upload, 'one')
    writeFile(join(bed.upload, 'only-in-one/file'), 'x')
    await takeIn(bed)
    rmSync(join(bed.upload, 'only-in-one'), { recursive: true })
    writeRelease(bed.upload, 'two')
    writeFile(join(bed.upload, 'only-in-two/file'), 'x')
    await takeIn(bed)
    for (const step of STEPS) {
      for (let nth = 1; nth <= 25; nth += 1) {
        await bed.store.install('web', 'blue', 1, { workingDir: bed.blue, user: null, incarnation: 1 })
        writeFile(join(bed.blue, 'mine'), 'precious')
        const ended = await runFaulty(installJob(bed, 2), `${step}:signal=KILL:when=${nth}`)
        const installed = await bed.store.installed('web', 'blue')
        assertWhole(bed, installed?.release ?? null, `${step} ${nth}`)
        assert.equal(textOf(join(bed.blue, 'mine')), 'precious')
        if (ended !== null) break
      }
    }
    await bed.store.install('web', 'blue', 1, { workingDir: bed.blue, user: null, incarnation: 9 })
    assert.deepEqual(pathsBelow(bed.blue), [
      'bin',
      'bin/app',
      'etc',
      'etc/app.conf',
      'mine',
      'only-in-one',
      'only-in-one/file',
    ])
  })

  test('leaves no half of a release that it was removing', { timeout: 240_000 }, async (t) => {
    const bed = await mustOpenBed(t)
    let kills = 0
    for (const step of STEPS) {
      for (let nth = 1; nth <= 12; nth += 1) {
        writeRelease(bed.upload, `${step} ${nth}`)
        const { number } = (await takeIn(bed)).release
        const args = { appPath: join(bed.releases, 'web'), numbers: [number] }
        const ended = await runFaulty({ kind: 'remove', args }, `${step}:signal=KILL:when=${nth}`)
        await mustBeWhole(bed.store)
        const store = await openStore(bed.releases, bed.slots)
        assert.deepEqual(leftovers(bed), [], `${step} ${nth}`)
        await mustBeWhole(store)
        if (ended !== null) break
        kills += 1
      }
    }
    assert.ok(kills >= 5, `killed ${kills} times`)
    t.diagnostic(`${kills} steps of a removal killed`)
  })

  function assertWhole({ blue }: ReleaseBed, release: number | null, when: string): void {
    if (release === null) return
    const [version, has] = release === 1 ? ['one', 'only-in-one'] : ['two', 'only-in-two']
    assert.match(textOf(join(blue, 'etc/app.conf')), new RegExp(version), when)
    assert.match(textOf(join(blue, 'bin/app')), new RegExp(version), when)
    assert.ok(existsSync(join(blue, has, 'file')), when)
  }
})

describe('a system call that fails', { skip: !hasStrace && 'needs strace' }, () => {
  for (const inject of [
    'syncfs:error=EIO',
    'fsync:error=EIO',
    'renameat2:error=EIO',
    'renameat2:error=ENOSPC',
    'fchmod:error=EPERM:when=1',
  ]) {
    test(`${inject}: the take-in fails, and the store is as it was`, async (t) => {
      const bed = await mustOpenBed(t)
      writeRelease(bed.upload, 'one')
      await takeIn(bed)
      writeRelease(bed.upload, 'two')
      const ended = await runFaulty(takeInJob(bed), inject)
      assert.equal(ended?.type, 'error')
      assert.match(ended.message ?? '', /EIO|EPERM|too full/)
      assert.deepEqual(
        (await bed.store.list('web')).map(({ number }) => number),
        [1],
      )
      assert.deepEqual(leftovers(bed), [])
      assert.ok((await takeIn(bed)).release.number > 1)
    })
  }
})

test('a copier whose daemon died stops, and leaves the way free', { timeout: 60_000 }, async (t) => {
  const bed = await mustOpenBed(t)
  writeRelease(bed.upload, 'one')
  for (let i = 0; i < 3000; i += 1) writeFile(join(bed.upload, `many/${i}`), `${i}`)
  const [program, ...args] = programArgv('dorc-copier')
  const copier = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'] })
  copier.stdin.write(`${JSON.stringify(takeInJob(bed))}\n`)
  copier.stdout.destroy()
  assert.equal((await takeIn(bed)).release.number, 1)
})
