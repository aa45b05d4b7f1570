import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const writer = fileURLToPath(new URL('../fixtures/state-writer.ts', import.meta.url))
const argv = [process.execPath, '--no-warnings', writer]

function temporaryDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'dorc-durable-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

test('a writer that is killed at any moment leaves a whole file, the old or the new', async (t) => {
  const dir = temporaryDir(t)
  const path = join(dir, 'web.json')
  for (let round = 0; round < 12; round += 1) {
    const [node = '', ...words] = argv
    const child = spawn(node, [...words, 'for-ever', path], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.after(() => child.kill('SIGKILL'))
    await once(child.stdout, 'data')
    // Not a wait for anything: another moment each time.
    await new Promise((resolve) => setTimeout(resolve, round * 3))
    child.kill('SIGKILL')
    await once(child, 'exit')
    assert.match(readFileSync(path, 'utf8'), /^(\d)\1{19999}$/)
  }
  const leftovers = readdirSync(dir).filter((name) => name !== 'web.json')
  assert.ok(
    leftovers.every((name) => /^\.web\.json\.[0-9a-f]{12}$/.test(name)),
    leftovers.join(),
  )
})

test('a file is on the disk before it takes its name, and its name before the write is over', (t) => {
  if (spawnSync('strace', ['-V']).status !== 0) return t.skip('strace is not installed')
  const dir = temporaryDir(t)
  const path = join(dir, 'web.json')
  const trace = join(dir, 'trace')
  const traced = ['-f', '-y', '-e', 'trace=write,pwrite64,fsync,rename,renameat,renameat2', '-o', trace]
  execFileSync('strace', [...traced, ...argv, 'once', path, 'new text'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const calls = readFileSync(trace, 'utf8')
    .split('\n')
    .filter((line) => line.includes(dir) && !line.includes('resumed'))
    .map((line) => /^\d+\s+(\w+)\([^<]*(?:<([^>]*)>)?/.exec(line) ?? [])
    .map(
      ([, call = '', target]) =>
        `${call.replace('pwrite64', 'write')} ${target === dir ? 'directory' : 'file'}`,
    )
  assert.deepEqual(calls, ['write file', 'fsync file', 'rename file', 'fsync directory'])
  assert.equal(readFileSync(path, 'utf8'), 'new text')
})

test('a full disk costs no intent, tells so, and the daemon goes on once there is room', (t) => {
  const dir = temporaryDir(t)
  writeFileSync(join(dir, 'mounted-over'), '')
  // The mount is seen by this child alone and ends with it.
  const mount = 'mount -t tmpfs -o size=400k tmpfs "$1" && shift && exec "$@"'
  const namespace = ['--mount', ...(process.getuid?.() === 0 ? [] : ['--map-root-user'])]
  if (spawnSync('unshare', [...namespace, 'true']).status !== 0)
    return t.skip('mount namespaces are not allowed here')
  const output = execFileSync(
    'unshare',
    [...namespace, 'sh', '-c', mount, 'sh', dir, ...argv, 'on-a-full-disk', dir],
    {
      encoding: 'utf8',
    },
  )
  assert.deepEqual(JSON.parse(output), {
    code: 'DISK_FULL',
    isAsBefore: true,
    files: ['web.json'],
    complaints: ['event-not-recorded'],
    generation: 3,
    told: ['before', 'after'],
  })
})
