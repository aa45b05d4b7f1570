import assert from 'node:assert/strict'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import {
  isRoot,
  mustOpenBed,
  NOBODY,
  type ReleaseBed,
  takeIn,
  writeFile,
  writeRelease,
} from './release-bed.ts'

const PLACE = { user: null, incarnation: 1 }

async function mustOpenFilledBed(t: TestContext): Promise<{ bed: ReleaseBed; tree: string }> {
  const bed = await mustOpenBed(t)
  writeRelease(bed.upload, 'one')
  mkdirSync(join(bed.upload, 'empty'))
  symlinkSync('etc/app.conf', join(bed.upload, 'conf'))
  await takeIn(bed)
  await bed.store.install('web', 'blue', 1, { ...PLACE, workingDir: bed.blue })
  return { bed, tree: join(bed.releases, 'web/1/tree') }
}

interface Tampering {
  readonly name: string
  readonly tamper: (tree: string) => void
  readonly path: string
  readonly says: RegExp
  readonly needsRoot?: boolean
}

const tamperings: readonly Tampering[] = [
  {
    name: 'other bytes of the same length',
    tamper: (tree) => writeFileSync(join(tree, 'etc/app.conf'), 'version=eno\n'),
    path: 'etc/app.conf',
    says: /^has other content \(sha256 /,
  },
  {
    name: 'more bytes',
    tamper: (tree) => appendFileSync(join(tree, 'bin/app'), '#'),
    path: 'bin/app',
    says: /^has 20 bytes, not 19$/,
  },
  {
    name: 'another mode',
    tamper: (tree) => chmodSync(join(tree, 'bin/app'), 0o4755),
    path: 'bin/app',
    says: /^has mode 4755, not 755$/,
  },
  {
    name: 'another owner',
    tamper: (tree) => chownSync(join(tree, 'bin/app'), NOBODY, NOBODY),
    path: 'bin/app',
    says: /^belongs to user 65534$/,
    needsRoot: true,
  },
  {
    name: 'a second name',
    tamper: (tree) => linkSync(join(tree, 'bin/app'), join(tree, '../alias')),
    path: 'bin/app',
    says: /^has 2 names$/,
  },
  {
    name: 'a file that is gone',
    tamper: (tree) => rmSync(join(tree, 'etc/app.conf')),
    path: 'etc/app.conf',
    says: /^is missing$/,
  },
  {
    name: 'a link in the place of a file',
    tamper: (tree) => {
      rmSync(join(tree, 'etc/app.conf'))
      symlinkSync('/etc/passwd', join(tree, 'etc/app.conf'))
    },
    path: 'etc/app.conf',
    says: /^is a symlink, not a file$/,
  },
  {
    name: 'a link that leads elsewhere',
    tamper: (tree) => {
      rmSync(join(tree, 'conf'))
      symlinkSync('/etc/passwd', join(tree, 'conf'))
    },
    path: 'conf',
    says: /^leads to "\/etc\/passwd", not "etc\/app.conf"$/,
  },
  {
    name: 'a directory that is gone',
    tamper: (tree) => rmSync(join(tree, 'empty'), { recursive: true }),
    path: 'empty',
    says: /^is missing$/,
  },
]

describe('what is not as it was taken in is named, in the store and in a slot', () => {
  for (const { name, tamper, path, says, needsRoot } of tamperings) {
    test(name, { skip: needsRoot === true && !isRoot && 'needs root' }, async (t) => {
      const { bed, tree } = await mustOpenFilledBed(t)
      assert.deepEqual((await bed.store.verify('web', 1)).deviations, [])
      assert.deepEqual(await bed.store.verifySlot('web', 1, bed.blue), [])

      tamper(bed.blue)
      const [inSlot, ...more] = await bed.store.verifySlot('web', 1, bed.blue)
      assert.deepEqual([inSlot?.path, more], [path, []])
      assert.match(inSlot?.problem ?? '', says)

      tamper(tree)
      const [stored, ...others] = (await bed.store.verify('web', 1)).deviations
      assert.deepEqual([stored?.path, others], [path, []])
      assert.match(stored?.problem ?? '', says)
    })
  }
})

test('a file too many is a deviation in the store, and in a slot it is the app’s own', async (t) => {
  const { bed, tree } = await mustOpenFilledBed(t)
  writeFile(join(tree, 'etc/planted.so'), 'x')
  writeFile(join(bed.blue, 'etc/data.db'), 'x')
  assert.deepEqual((await bed.store.verify('web', 1)).deviations, [
    { path: 'etc/planted.so', problem: 'is not part of the release' },
  ])
  assert.deepEqual(await bed.store.verifySlot('web', 1, bed.blue), [])
})

test('every deviating file is named, not only the first', async (t) => {
  const { bed, tree } = await mustOpenFilledBed(t)
  rmSync(join(tree, 'etc'), { recursive: true })
  appendFileSync(join(tree, 'bin/app'), '#')
  const { deviations } = await bed.store.verify('web', 1)
  assert.deepEqual(
    deviations.map(({ path }) => path),
    ['bin/app', 'etc', 'etc/app.conf'],
  )
})
