import assert from 'node:assert/strict'
import { test } from 'node:test'
import { processesWithEnvironment } from './proc.ts'
import { type CommandResult, runCommand } from './run-command.ts'

const run = (script: string, timeoutMs = 10_000): Promise<CommandResult> =>
  runCommand({
    argv: ['/bin/sh', '-c', script],
    cwd: '/',
    environment: { DORC_TEST_RUN: 'run-command' },
    account: null,
    timeoutMs,
  })

test('a command succeeds by exit status 0 and tells its last line', async () => {
  const result = await run('echo one; echo two >&2; echo')
  assert.deepEqual(result, { isSuccess: true, outcome: 'exit status 0', lastLine: 'two' })
})

test('a command fails by its status, a signal, or by not being there', async () => {
  assert.deepEqual(await run('echo why; exit 7'), {
    isSuccess: false,
    outcome: 'exit status 7',
    lastLine: 'why',
  })
  assert.equal((await run('kill -SEGV $$')).outcome, 'signal SEGV')
  const missing = await runCommand({
    argv: ['/no/such'],
    cwd: '/',
    environment: {},
    account: null,
    timeoutMs: 1_000,
  })
  assert.equal(missing.isSuccess, false)
  assert.match(missing.outcome, /ENOENT/)
})

test('a background process that left the group does not hold it up', async () => {
  const result = await run('setsid sleep 1 & sleep 0.1; echo started')
  assert.equal(result.lastLine, 'started')
})

test('a command that takes too long is killed with what it started', async () => {
  const result = await run('sleep 600 & sleep 600', 100)
  assert.deepEqual(result, { isSuccess: false, outcome: 'no end within 0.1 s', lastLine: '' })
  const deadline = performance.now() + 10_000
  while (processesWithEnvironment('DORC_TEST_RUN=run-command').length > 0)
    assert.ok(performance.now() < deadline, 'nothing of it runs any more')
})

test('what a command leaves in the background does not hold it up', async () => {
  assert.equal((await run('sleep 600 & echo started')).lastLine, 'started')
})
