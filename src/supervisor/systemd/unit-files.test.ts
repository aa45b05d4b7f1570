import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isStamped, stamped, UnitFiles } from './unit-files.ts'

function mustMake(t: TestContext): { files: UnitFiles; directory: string } {
  const directory = mkdtempSync(join(tmpdir(), 'dorc-unit-files-'))
  t.after(() => rmSync(directory, { recursive: true }))
  return { files: new UnitFiles(directory), directory }
}

test('a text is known by its first line to be unchanged', () => {
  const text = stamped('[Unit]\n')
  assert.match(text, /^# dorc generated, sha256=[0-9a-f]{64}\n\[Unit\]\n$/)
  assert.ok(isStamped(text))
  assert.ok(!isStamped(`${text}#\n`))
  assert.ok(!isStamped('[Unit]\n'))
})

test('writing says whether anything changed', async (t) => {
  const { files, directory } = mustMake(t)
  assert.equal(await files.write('a.service', 'one\n'), true)
  assert.equal(await files.write('a.service', 'one\n'), false)
  assert.equal(await files.write('a.service', 'two\n'), true)
  assert.equal(readFileSync(join(directory, 'a.service'), 'utf8'), stamped('two\n'))
})

test('a file that somebody changed is neither replaced nor removed', async (t) => {
  const { files, directory } = mustMake(t)
  await files.write('a.service', 'one\n')
  writeFileSync(join(directory, 'a.service'), `${stamped('one\n')}more\n`)
  await assert.rejects(files.write('a.service', 'two\n'), { code: 'SUPERVISOR_FAILED' })
  await assert.rejects(files.remove('a.service'), { code: 'SUPERVISOR_FAILED' })
})

test('a directory of drop-ins goes with its last file, and not before', async (t) => {
  const { files, directory } = mustMake(t)
  await files.write('a.service.d/one.conf', '')
  writeFileSync(join(directory, 'a.service.d/two.conf'), 'not ours')
  assert.equal(await files.remove('a.service.d/one.conf'), true)
  assert.ok(existsSync(join(directory, 'a.service.d/two.conf')))
  rmSync(join(directory, 'a.service.d/two.conf'))
  await files.write('a.service.d/one.conf', '')
  await files.remove('a.service.d/one.conf')
  assert.ok(!existsSync(join(directory, 'a.service.d')))
  assert.equal(await files.remove('a.service.d/one.conf'), false)
})
