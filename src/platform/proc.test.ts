import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'
import {
  allProcesses,
  descendantsOf,
  isRunning,
  ownerOf,
  processesWithEnvironment,
  processStat,
  residentBytes,
  zombiesOf,
} from './proc.ts'

/** A Python program whose first line of output was read; it and its descendants end with the test. */
async function mustRun(t: TestContext, program: string, env: Record<string, string> = {}) {
  const argv = ['-c', `import os, signal, sys, time\n${program}\nprint(flush=True)\ntime.sleep(600)`]
  const child = spawn('/usr/bin/python3', argv, { stdio: ['ignore', 'pipe', 'inherit'], env })
  const { pid } = child
  assert.ok(pid !== undefined)
  t.after(() => {
    for (const one of [...descendantsOf(pid), pid]) process.kill(one, 'SIGKILL')
  })
  await once(createInterface(child.stdout), 'line')
  return pid
}

test('processStat() reads a name with spaces and parentheses', async (t) => {
  const pid = await mustRun(t, 'open("/proc/self/comm", "w").write("a) R (1 2")')
  const stat = processStat(pid)
  assert.equal(stat?.command, 'a) R (1 2')
  assert.equal(stat?.parent, process.pid)
  assert.equal(processStat(2 ** 22 + 1), null)
})

test('isRunning() tells a process from another one with its number', async (t) => {
  const pid = await mustRun(t, '')
  const stat = processStat(pid)
  assert.ok(stat)
  assert.equal(isRunning(stat), true)
  assert.equal(isRunning({ pid, startTicks: stat.startTicks - 1 }), false)
})

test('descendantsOf() finds grandchildren in sessions of their own, and no zombies', async (t) => {
  const pid = await mustRun(
    t,
    `
ready, told = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: os.write(told, b'x')
    time.sleep(600)
os.read(ready, 1)
dead = os.fork()
if dead == 0: os._exit(0)
os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)`,
  )
  const [zombie, ...others] = zombiesOf(pid)
  assert.ok(zombie !== undefined && others.length === 0)
  const [child, grandchild, ...rest] = descendantsOf(pid)
  assert.deepEqual(rest, [])
  assert.ok(child !== undefined && grandchild !== undefined)
  assert.equal(processStat(child)?.parent, pid)
  assert.equal(processStat(grandchild)?.parent, child)
  assert.equal(processStat(grandchild)?.session, child)
})

test('processesWithEnvironment() matches whole entries only', async (t) => {
  const pid = await mustRun(t, 'if os.fork() == 0: time.sleep(600)', { DORC_TEST_MARK: 'abc' })
  assert.deepEqual(processesWithEnvironment('DORC_TEST_MARK=abc'), [pid, ...descendantsOf(pid)])
  assert.equal(descendantsOf(pid).length, 1)
  assert.deepEqual(processesWithEnvironment('DORC_TEST_MARK=ab'), [])
  assert.deepEqual(processesWithEnvironment('TEST_MARK=abc'), [])
})

test('a process that is gone is an empty answer', () => {
  const gone = 2 ** 22 + 1
  assert.equal(residentBytes([gone]), 0)
  assert.equal(ownerOf(gone), null)
  assert.deepEqual(descendantsOf(gone), [])
  assert.deepEqual(ownerOf(process.pid), { uid: process.geteuid?.(), gid: process.getegid?.() })
  assert.ok(residentBytes([process.pid]) > 10_000_000)
  assert.ok(allProcesses().some(({ pid }) => pid === process.pid))
})
