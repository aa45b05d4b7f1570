import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { CLI_PROGRAM } from '../cli-program.ts'

interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

function dorc(...words: string[]): Outcome {
  const env = { ...process.env, DORC_ROOT: '/nonexistent', NO_COLOR: '1' }
  return spawnSync(process.execPath, [CLI_PROGRAM, ...words], { encoding: 'utf8', env, input: '' })
}

const commands = [
  'setup register deploy switch rollback status releases logs events start stop restart reload load remove start-daemon',
].flatMap((names) => names.split(' '))

test('every command explains itself with an example', () => {
  const { stdout: overview } = dorc('--help')
  for (const command of commands) {
    assert.match(overview, new RegExp(`^  ${command} +[A-Z]`, 'm'))
    const { status, stdout } = dorc(command, '--help')
    assert.equal(status, 0)
    assert.match(stdout, new RegExp(`EXAMPLES\\n  \\$ .*dorc ${command}`), command)
    assert.match(stdout, /--json/, command)
  }
})

test('a command that does not exist is answered with the one that may be meant', () => {
  const { status, stdout, stderr } = dorc('swich', 'web')
  assert.deepEqual({ status, stdout }, { status: 2, stdout: '' })
  assert.equal(stderr, 'dorc: Unknown command "swich" (USAGE)\n      Did you mean: dorc switch\n')
})

test('a flag that does not exist is answered with the one that may be meant', () => {
  const { status, stderr } = dorc('deploy', 'web', '--swich')
  assert.equal(status, 2)
  assert.equal(stderr, 'dorc: Unknown flag "--swich" (USAGE)\n      Did you mean: --switch\n')
})

test('an argument that is missing, too many or of the wrong kind is named', () => {
  for (const [words, message] of [
    [['switch'], 'dorc: APP is missing (USAGE)'],
    [['switch', 'web', 'blue'], 'dorc: "blue" is one argument too many (USAGE)'],
    [['switch', 'web', '--to', 'red'], 'dorc: --to cannot be "red", but blue or green (USAGE)'],
    [['rollback', 'web', 'x'], 'dorc: Cannot take "x" for N: it is not a whole number from 1 (USAGE)'],
    [['logs', 'web', '-n', '-3'], 'dorc: Cannot take "-3" for --lines:'],
  ] as const) {
    const { status, stderr } = dorc(...words)
    assert.equal(status, 2, stderr)
    assert.ok(stderr.startsWith(message), stderr)
  }
})

test('with --json an error is a document on stdout, too', () => {
  const { status, stdout, stderr } = dorc('status', 'web', '--json')
  assert.equal(status, 5)
  const { error } = JSON.parse(stdout) as { error: { code: string; hint: string } }
  assert.equal(error.code, 'NO_DAEMON')
  assert.match(error.hint, /dorc start-daemon --embedded --root \/nonexistent/)
  assert.match(stderr, /^dorc: No daemon answers on "\/nonexistent\/run\/dorc\/dorc\.sock" \(NO_DAEMON\)\n/)
})

test('the root may be named before the command', () => {
  const { status, stderr } = dorc('--root', '/elsewhere', 'status')
  assert.equal(status, 5)
  assert.match(stderr, /\/elsewhere\/run\/dorc/)
})

test('register names the flags that are missing where nobody can be asked', () => {
  const { status, stderr } = dorc('register', '--yes')
  assert.equal(status, 2)
  assert.match(stderr, /APP, --listen ADDRESS, --executable FILE/)
})

test('what defines what runs is refused without root, with the command that does it', (t) => {
  const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
  const words = ['load', 'web']
  const child = spawnSync(process.execPath, [CLI_PROGRAM, ...words], {
    encoding: 'utf8',
    input: '',
    cwd: '/',
    env: { ...process.env, DORC_ROOT: '/' },
    ...nobody,
  })
  if (child.error !== undefined || child.stderr.includes('Cannot find module')) {
    t.skip('this directory is closed to other users')
    return
  }
  assert.equal(child.status, 3)
  assert.equal(child.stderr, 'dorc: "dorc load" needs root (FORBIDDEN)\n      Run: sudo dorc load web\n')
})

test('the version is that of the package', () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  assert.equal(dorc('--version').stdout, `${version}\n`)
})
