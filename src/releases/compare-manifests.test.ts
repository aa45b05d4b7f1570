import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareManifests } from './compare-manifests.ts'
import type { ManifestEntry } from './manifest.ts'

const file = (path: string, size: number, sha256 = `of ${size}`): ManifestEntry => ({
  kind: 'file',
  path,
  executable: false,
  size,
  sha256,
})

test('what was added, removed and changed is told with its sizes; the same and directories are not', () => {
  const before = [
    file('bin/app', 10),
    file('gone', 3),
    { kind: 'directory', path: 'old' } as const,
    file('same', 1),
  ]
  const after = [
    { kind: 'directory', path: 'bin' } as const,
    file('bin/app', 12),
    file('new', 4),
    file('same', 1),
    { kind: 'symlink', path: 'link', target: 'new' } as const,
  ]
  assert.deepEqual(compareManifests(before, after), [
    { path: 'bin/app', kind: 'changed', before: 10, after: 12 },
    { path: 'gone', kind: 'removed', before: 3, after: null },
    { path: 'link', kind: 'added', before: null, after: null },
    { path: 'new', kind: 'added', before: null, after: 4 },
  ])
})

test('other bytes of the same size, and a right to execute, are a change', () => {
  const executable = { ...file('a', 1), executable: true } as ManifestEntry
  assert.equal(compareManifests([file('a', 1)], [file('a', 1, 'other')]).length, 1)
  assert.equal(compareManifests([file('a', 1)], [executable]).length, 1)
  assert.deepEqual(compareManifests([file('a', 1)], [file('a', 1)]), [])
})
