import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Supervisor } from '../../../src/supervisor/supervisor.ts'
import { openSystemd, type Systemd } from '../../../src/supervisor/systemd/systemd.ts'
import { createSystemdSupervisor } from '../../../src/supervisor/systemd/systemd-supervisor.ts'
import { quietLog, slotProcessOf } from './slot-process.ts'

/** A bus that goes away and comes back; runs inside the machine: see ../supervisor.test.ts. */
const run = promisify(execFile)
const stateDir = '/var/lib/dorc'

let systemd: Systemd
let supervisor: Supervisor

before(async () => {
  mkdirSync(slotProcessOf('web').workingDir, { recursive: true })
  systemd = await openSystemd()
  supervisor = await createSystemdSupervisor({
    systemd,
    unitDir: '/etc/systemd/system',
    stateDir,
    log: quietLog,
  })
  await supervisor.install(slotProcessOf('web'))
  await supervisor.start('web', 'blue')
})

after(async () => {
  await supervisor.stop('web', 'blue')
  await supervisor.uninstall('web', 'blue', { purge: false })
  await systemd[Symbol.asyncDispose]()
})

test('while the bus is away calls fail with SUPERVISOR_FAILED, and none waits for ever', async () => {
  await run('systemctl', ['stop', 'dbus.socket', 'dbus.service'])
  await assert.rejects(supervisor.stop('web', 'blue'), { code: 'SUPERVISOR_FAILED' })
  await run('systemctl', ['start', 'dbus.socket', 'dbus.service'])
  await untilObserved('active')
})

test('after the bus was restarted changes are told again', async () => {
  await run('systemctl', ['restart', 'dbus.service'])
  const { mainPid } = await untilObserved('active')
  let told = 0
  supervisor.onChange(() => (told += 1))
  await until('a change is told', async () => {
    if (told > 0) return true
    process.kill((await supervisor.observe('web', 'blue')).mainPid ?? mainPid ?? 0, 'SIGKILL')
    await pause(2_000)
    return told > 0
  })
})

test('systemd may be executed anew under a running job', async () => {
  await untilObserved('active')
  const [stopped] = await Promise.allSettled([
    supervisor.stop('web', 'blue'),
    run('systemctl', ['daemon-reexec']),
  ])
  if (stopped.status === 'rejected')
    assert.equal((stopped.reason as { code?: string }).code, 'SUPERVISOR_FAILED')
  await until('it can be started', async () =>
    supervisor.start('web', 'blue').then(
      () => true,
      () => false,
    ),
  )
  await untilObserved('active')
})

test('reloads that are asked for at once share a few, and all see their units', async () => {
  const apps = Array.from({ length: 12 }, (_, index) => `many${index}`)
  await Promise.all(apps.map((app) => supervisor.install({ ...slotProcessOf(app), incarnation: 42 })))
  for (const app of apps) assert.equal((await supervisor.observe(app, 'blue')).incarnation, 42)
  await Promise.all(apps.map((app) => supervisor.uninstall(app, 'blue', { purge: false })))
})

async function untilObserved(state: string): Promise<{ mainPid: number | null }> {
  let mainPid: number | null = null
  await until(`it is seen ${state}`, async () => {
    const unit = await supervisor.observe('web', 'blue').catch(() => null)
    mainPid = unit?.mainPid ?? null
    return unit?.state === state
  })
  return { mainPid }
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000
  while (!(await isSo())) {
    assert.ok(performance.now() < deadline, `Gave up waiting until ${what}`)
    await pause(50)
  }
}
