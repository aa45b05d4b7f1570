import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { buildId, buildIdOf } from './build-id.ts'

test('a build is known by the content of its bundles and by nothing else', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'dorc-build-'))
  t.after(() => rmSync(directory, { recursive: true }))
  writeFileSync(join(directory, 'dorcd.js'), 'one')
  const first = buildIdOf(directory)
  assert.match(first, /^[0-9a-f]{12}$/)
  writeFileSync(join(directory, 'notes.txt'), 'not a program')
  assert.equal(buildIdOf(directory), first)
  writeFileSync(join(directory, 'dorcd.js'), 'two')
  assert.notEqual(buildIdOf(directory), first)
})

test('a program that runs from sources says so', () => {
  assert.equal(buildId(), 'source')
})
