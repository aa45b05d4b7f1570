import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { openDirectory, owned } from './file-calls.ts'
import { removeTree } from './remove-tree.ts'

function mustMakeRoot(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'dorc-remove-'))
  t.after(() => execFileSync('rm', ['-rf', root]))
  return root
}

function remove(root: string, name: string): void {
  using directory = owned(openDirectory(root, true))
  removeTree(directory.fd, name)
}

test('a tree goes with all that is in it, and what links in it lead to stays', (t) => {
  const root = mustMakeRoot(t)
  mkdirSync(join(root, 'tree/a/b'), { recursive: true })
  writeFileSync(join(root, 'kept'), 'kept')
  symlinkSync(root, join(root, 'tree/a/link'))
  symlinkSync(join(root, 'kept'), join(root, 'tree/a/b/link'))
  remove(root, 'tree')
  assert.ok(!existsSync(join(root, 'tree')))
  assert.equal(readFileSync(join(root, 'kept'), 'utf8'), 'kept')
})

test('a link is removed itself, and a name that is not there is fine', (t) => {
  const root = mustMakeRoot(t)
  mkdirSync(join(root, 'kept'))
  symlinkSync('kept', join(root, 'link'))
  remove(root, 'link')
  remove(root, 'link')
  assert.ok(existsSync(join(root, 'kept')))
})

test('a tree that is deeper than there are file descriptors goes, too', (t) => {
  const root = mustMakeRoot(t)
  mkdirSync(join(root, 'tree'))
  const dig = `
import os, sys
os.chdir(sys.argv[1])
for _ in range(3000):
    os.mkdir('d'); open('f', 'w').close(); os.chdir('d')
`
  execFileSync('python3', ['-c', dig, join(root, 'tree')])
  const script = `
    import { openDirectory } from ${JSON.stringify(new URL('./file-calls.ts', import.meta.url).href)}
    import { removeTree } from ${JSON.stringify(new URL('./remove-tree.ts', import.meta.url).href)}
    removeTree(openDirectory(${JSON.stringify(root)}, true), "tree")`
  const node = `"${process.execPath}" --no-warnings --input-type=module -e '${script}'`
  execFileSync('sh', ['-c', `ulimit -n 256; ${node}`], { stdio: ['ignore', 'ignore', 'inherit'] })
  assert.ok(!existsSync(join(root, 'tree')))
})
