import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { ReleaseBed } from './release-bed.ts'

/** Uploads that must be refused: what each plants beside a good release, and what the error says of it. */
export interface HostileTree {
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

export const refused: readonly HostileTree[] = [
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

const hostileTargets: readonly (readonly [string, RegExp])[] = [
  ['/', /is absolute/],
  ['//etc/passwd', /is absolute/],
  ['/proc/self/environ', /is absolute/],
  ['/proc/self/fd/0', /is absolute/],
  ['/dev/null', /is absolute/],
  ['/proc/self/cwd/bin/app', /is absolute/],
  ['../', /points out of the upload/],
  ['./../x', /points out of the upload/],
  ['bin/../../../etc/shadow', /points out of the upload/],
  ['etc/../..', /points out of the upload/],
  ['bin//..//..//x', /points out of the upload/],
  ['a\u001b[2Jb', /unprintable/],
  ['a\u202eb', /unprintable/],
  ['planted/x', /leads in a circle/],
]

const hostileNames: readonly (readonly [string, string | Buffer, RegExp])[] = [
  ['a start of heading', 'a\u0001b', /unprintable/],
  ['a tab', 'a\tb', /unprintable/],
  ['a carriage return', 'a\rb', /unprintable/],
  ['a next line', 'a\u0085b', /unprintable/],
  ['a line separator', 'a\u2028b', /unprintable/],
  ['a paragraph separator', 'a\u2029b', /unprintable/],
  ['an embedding', 'a\u202ab', /unprintable/],
  ['an override to the right', 'a\u202db', /unprintable/],
  ['an isolate', 'a\u2066b', /unprintable/],
  ['the end of an isolate', 'a\u2069b', /unprintable/],
  ['an overlong slash', Buffer.from([0x61, 0xc0, 0xaf]), /not UTF-8/],
  ['half of a pair', Buffer.from([0xed, 0xa0, 0x80]), /not UTF-8/],
  ['a sequence that is cut off', Buffer.from([0x61, 0xe2, 0x82]), /not UTF-8/],
  ['a character beyond Unicode', Buffer.from([0xf4, 0x90, 0x80, 0x80]), /not UTF-8/],
]

export const moreRefused: readonly HostileTree[] = [
  ...hostileTargets.map(([target, says]) => ({
    name: `a link to ${JSON.stringify(target)}`,
    plant: link(target),
    says,
  })),
  ...hostileNames.map(([what, name, says]) => ({ name: `a name with ${what}`, plant: named(name), says })),
  {
    name: 'a chain of more links than the kernel follows',
    plant: (u) => {
      for (let i = 0; i <= 41; i += 1) symlinkSync(`l${i + 1}`, join(u, `l${i}`))
    },
    says: /leads in a circle/,
  },
  {
    name: "a link under a name of dorc's own",
    plant: (u) => symlinkSync('bin', join(u, '.dorc-staging')),
    says: /reserved/,
  },
  {
    name: 'a directory where the executable should be',
    plant: (u) => {
      rmSync(join(u, 'bin/app'))
      mkdirSync(join(u, 'bin/app'))
    },
    says: /The executable "bin\/app" is not in the upload/,
  },
  {
    name: 'a link to a directory where the executable should be',
    plant: (u) => {
      rmSync(join(u, 'bin/app'))
      symlinkSync('../etc', join(u, 'bin/app'))
    },
    says: /The executable "bin\/app" is not in the upload/,
  },
]

export const refusedAsRoot: readonly HostileTree[] = [
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
