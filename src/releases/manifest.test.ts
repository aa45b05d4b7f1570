import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DorcError } from '../core/errors.ts'
import { checkExecutable, checkSymlinks } from './check-manifest.ts'
import { digestOf, formatManifest, type Manifest, type ManifestEntry, parseManifest } from './manifest.ts'

const file = (path: string, executable = false): ManifestEntry => ({
  kind: 'file',
  path,
  executable,
  size: 1,
  sha256: 'ab',
})
const link = (path: string, target: string): ManifestEntry => ({ kind: 'symlink', path, target })
const directory = (path: string): ManifestEntry => ({ kind: 'directory', path })

const MANIFEST: Manifest = [directory('bin'), file('bin/app', true), link('"odd"\u00e9', '../x'), file('z')]

test('a manifest reads back as it was written', () => {
  assert.deepEqual(parseManifest(formatManifest(MANIFEST), 'm'), MANIFEST)
  assert.deepEqual(parseManifest('', 'm'), [])
})

test('every part of a manifest counts for the digest', () => {
  const changes: Manifest[] = [
    [...MANIFEST, directory('more')],
    MANIFEST.map((entry) => (entry.kind === 'file' ? { ...entry, executable: !entry.executable } : entry)),
    MANIFEST.map((entry) => (entry.kind === 'file' ? { ...entry, sha256: 'cd' } : entry)),
    MANIFEST.map((entry) => (entry.kind === 'symlink' ? { ...entry, target: 'y' } : entry)),
  ]
  const digests = new Set([MANIFEST, ...changes].map((manifest) => digestOf(formatManifest(manifest))))
  assert.equal(digests.size, changes.length + 1)
})

test('a manifest cut at any byte, or with a path that leads out, is STATE_CORRUPT', () => {
  const text = formatManifest(MANIFEST)
  for (let length = 1; length < text.length; length += 1) {
    if (text[length - 1] === '\n') continue
    assert.throws(() => parseManifest(text.slice(0, length), 'm'), { code: 'STATE_CORRUPT' }, `at ${length}`)
  }
  for (const path of ['../x', '/etc', 'a//b', 'a/../../b', '.', '']) {
    assert.throws(
      () => parseManifest(`${JSON.stringify(['d', path])}\n`, 'm'),
      { code: 'STATE_CORRUPT' },
      path,
    )
  }
})

/** What each link at `d/link` leads to, with `d/up -> ..`, `d/e/top -> ../..` and `loop -> loop` beside it. */
const targets: readonly (readonly [target: string, refused: RegExp | null])[] = [
  ['../bin/app', null],
  ['.', null],
  ['..', null],
  ['up/bin/app', null],
  ['missing/at/all', null],
  ['e/top/bin', null],
  ['../..', /points out/],
  ['up/..', /points out/],
  ['e/top/../etc', /points out/],
  ['missing/../../..', /points out/],
  ['/bin/app', /absolute/],
  ['../loop', /circle/],
  ['link', /circle/],
  ['a\u001b[2Jb', /unprintable/],
  ['a\ufffd', /unprintable/],
]

for (const [target, refused] of targets) {
  const what = refused === null ? 'is fine' : `is refused: it ${refused.source}`
  test(`a link to ${JSON.stringify(target)} ${what}`, () => {
    const tree = [
      ...MANIFEST.filter(({ kind }) => kind !== 'symlink'),
      directory('d'),
      directory('d/e'),
      link('d/e/top', '../..'),
      link('d/link', target),
      link('d/up', '..'),
    ]
    const check = (): void => checkSymlinks(target.includes('loop') ? [...tree, link('loop', 'loop')] : tree)
    if (refused === null) check()
    else assert.throws(check, (error) => error instanceof DorcError && refused.test(error.message))
  })
}

test('the executable may be a link to a file of the release', () => {
  const tree = [...MANIFEST, link('current', 'bin/app'), link('gone', 'bin/none')]
  checkExecutable(tree, { path: 'current', mustBeExecutable: true })
  assert.throws(() => checkExecutable(tree, { path: 'gone', mustBeExecutable: true }), {
    code: 'RELEASE_INVALID',
  })
  assert.throws(() => checkExecutable(tree, { path: 'bin', mustBeExecutable: true }), {
    code: 'RELEASE_INVALID',
  })
})
