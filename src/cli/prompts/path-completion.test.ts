import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { completePath } from './path-completion.ts'

let root = ''
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'dorc-complete-'))
  await mkdir(join(root, 'release', 'bin'), { recursive: true })
  await mkdir(join(root, 'relay'))
  await writeFile(join(root, 'release', 'bin', 'server'), '')
  await writeFile(join(root, 'release', '.hidden'), '')
})
after(() => rm(root, { recursive: true, force: true }))

test('a path is completed as far as it is clear, and the ways on are named', async () => {
  assert.deepEqual(await completePath(`${root}/r`, '/'), {
    answer: `${root}/rel`,
    candidates: ['relay/', 'release/'],
  })
})

test('a directory that is clear gets its slash', async () => {
  assert.deepEqual(await completePath(`${root}/rele`, '/'), {
    answer: `${root}/release/`,
    candidates: ['release/'],
  })
})

test('a relative path is completed inside its base', async () => {
  assert.equal((await completePath('bin/', join(root, 'release'))).answer, 'bin/server')
  assert.equal((await completePath('b', join(root, 'release'))).answer, 'bin/')
})

test('hidden files are proposed only to who types the dot', async () => {
  assert.equal((await completePath('', join(root, 'release'))).answer, 'bin/')
  assert.equal((await completePath('.', join(root, 'release'))).answer, '.hidden')
})

test('what does not exist stays as it is typed', async () => {
  assert.deepEqual(await completePath('/nope/nope', '/'), { answer: '/nope/nope', candidates: [] })
})
