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
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import type { ErrorCode } from '../../src/core/errors.ts'
import {
  isRoot,
  leftovers,
  mustBeWhole,
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

interface HostileTree {
  readonly name: string
  readonly plant: (upload: string, bed: ReleaseBed) => void | Promise<void>
  readonly code?: ErrorCode
  /** What the message or the hint says. */
  readonly says: RegExp
}

const link = (target: string) => (upload: string) => symlinkSync(target, join(upload, 'planted'))
const named = (name: string | Buffer) => (upload: string) => {
  const path =
    typeof name === 'string' ? join(upload, name) : Buffer.concat([Buffer.from(`${upload}/`), name])
  writeFileSync(path, 'x')
}

const LONG_PATH = `
import os, sys
os.chdir(sys.argv[1])
for _ in range(20):
    os.mkdir('x' * 250)
    os.chdir('x' * 250)
`

const refused: readonly HostileTree[] = [
  { name: 'an absolute link to a file', plant: link('/etc/shadow'), says: /"planted" is absolute/ },
  { name: 'an absolute link to a directory', plant: link('/root'), says: /"planted" is absolute/ },
  {
    name: 'an absolute link into the upload itself',
    plant: (u) => link(`${u}/bin/app`)(u),
    says: /is absolute/,
  },
  { name: 'a link to /proc/self/root', plant: link('/proc/self/root'), says: /is absolute/ },
  { name: 'a link to its parent', plant: link('..'), says: /points out of the upload/ },
  { name: 'a link that climbs out', plant: link('../../etc/passwd'), says: /points out of the upload/ },
  { name: 'a link that climbs out later', plant: link('bin/../../x'), says: /points out of the upload/ },
  {
    name: 'a link that climbs out from a directory',
    plant: (u) => symlinkSync('../../x', join(u, 'bin/planted')),
    says: /"bin\/planted" points out of the upload/,
  },
  {
    name: 'a link that leaves through another one',
    plant: (u) => {
      mkdirSync(join(u, 'a/b'), { recursive: true })
      symlinkSync('../..', join(u, 'a/b/top'))
      symlinkSync('a/b/top/../etc/passwd', join(u, 'planted'))
    },
    says: /points out of the upload/,
  },
  { name: 'a link to itself', plant: link('planted'), says: /leads in a circle/ },
  {
    name: 'two links to each other',
    plant: (u) => {
      symlinkSync('two', join(u, 'one'))
      symlinkSync('one', join(u, 'two'))
    },
    says: /leads in a circle/,
  },
  { name: 'a link with a line break in its target', plant: link('a\nb'), says: /unprintable/ },
  {
    name: 'a FIFO',
    plant: (u) => void execFileSync('mkfifo', [join(u, 'pipe')]),
    says: /"pipe" is a FIFO/,
  },
  {
    name: 'a FIFO where the executable should be',
    plant: (u) => {
      rmSync(join(u, 'bin/app'))
      execFileSync('mkfifo', [join(u, 'bin/app')])
    },
    says: /"bin\/app" is a FIFO/,
  },
  {
    name: 'a socket',
    plant: async (u, bed) => {
      const server = createServer()
      await new Promise<void>((resolve) => server.listen(join(u, 'sock'), resolve))
      bed.defer(() => server.close())
    },
    says: /"sock" is a socket/,
  },
  { name: 'a name with a line break', plant: named('a\nb'), says: /"a\\nb" has an unprintable/ },
  { name: 'a name with an escape', plant: named('a\u001b[31mb'), says: /unprintable/ },
  { name: 'a name with DEL', plant: named('a\u007f'), says: /unprintable/ },
  { name: 'a name with a C1 control', plant: named('a\u009bb'), says: /unprintable/ },
  { name: 'a name that turns text around', plant: named('gpj.\u202eexe'), says: /unprintable/ },
  { name: 'a name that is not UTF-8', plant: named(Buffer.from([0x61, 0xff])), says: /not UTF-8/ },
  {
    name: 'a directory name that is not UTF-8',
    plant: (u) => mkdirSync(Buffer.concat([Buffer.from(`${u}/`), Buffer.from([0xc3, 0x28])])),
    says: /not UTF-8/,
  },
  { name: "a name of dorc's own", plant: (u) => mkdirSync(join(u, '.dorc-staging')), says: /reserved/ },
  {
    name: 'a tree that is too deep',
    plant: (u) => void mkdirSync(join(u, 'd/'.repeat(70)), { recursive: true }),
    says: /deeper than 64 directories/,
  },
  {
    name: 'a path that is too long',
    plant: (u) => void execFileSync('python3', ['-c', LONG_PATH, u]),
    says: /longer than 4096 bytes/,
  },
  {
    name: 'a sparse file larger than the disk',
    plant: (u) => {
      writeFileSync(join(u, 'huge'), '')
      truncateSync(join(u, 'huge'), 2 ** 40)
    },
    code: 'DISK_FULL',
    says: /bytes are needed, [0-9]+ are usable/,
  },
  {
    name: 'a link where the executable should be, to nothing',
    plant: (u) => {
      rmSync(join(u, 'bin/app'))
      symlinkSync('gone', join(u, 'bin/app'))
    },
    says: /The executable "bin\/app" is not in the upload/,
  },
]

const refusedAsRoot: readonly HostileTree[] = [
  {
    name: 'a character device',
    plant: (u) => void execFileSync('mknod', [join(u, 'null'), 'c', '1', '3']),
    says: /is a device/,
  },
  {
    name: 'a block device',
    plant: (u) => void execFileSync('mknod', [join(u, 'disk'), 'b', '7', '0']),
    says: /is a device/,
  },
  {
    name: 'a mount',
    plant: (u, bed) => {
      mkdirSync(join(u, 'mnt'))
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', join(u, 'mnt')])
      bed.defer(() => execFileSync('umount', [join(u, 'mnt')]))
    },
    says: /Another file system is mounted on "mnt"/,
  },
]

describe('what an upload may not hold is refused by name, and nothing of it is kept', () => {
  for (const tree of [...refused, ...(isRoot ? refusedAsRoot : [])]) {
    test(tree.name, async (t) => {
      const bed = await mustOpenBed(t)
      writeRelease(bed.upload, 'one')
      await tree.plant(bed.upload, bed)

      const error = await mustRefuse(takeIn(bed), tree.code ?? 'RELEASE_INVALID')
      assert.match(`${error.message} ${error.hint}`, tree.says)
      assert.ok(error.hint, 'it says what to do')
      assert.deepEqual(await bed.store.list('web'), [])
      assert.deepEqual(leftovers(bed), [])
    })
  }
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

  test('names that are swapped while they are read never lead out', { timeout: 60_000 }, async (t) => {
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
    const until = performance.now() + 4_000
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
