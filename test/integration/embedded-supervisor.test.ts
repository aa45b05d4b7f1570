import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  mkdtempSync,
  readFileSync,
  readlinkSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { SlotProcess } from '../../src/core/slot-process.ts'
import { systemClock } from '../../src/platform/clock.ts'
import type { Logger } from '../../src/platform/log.ts'
import { descendantsOf, processStat } from '../../src/platform/proc.ts'
import {
  createEmbeddedSupervisor,
  type EmbeddedOptions,
  type EmbeddedSupervisor,
} from '../../src/supervisor/embedded/embedded-supervisor.ts'
import type { ObservedUnit } from '../../src/supervisor/supervisor.ts'

const silent: Logger = { info() {}, warn() {}, error() {}, child: () => silent }
const isRoot = process.geteuid?.() === 0

interface Place {
  readonly root: string
  readonly open: (limits?: EmbeddedOptions['limits']) => Promise<EmbeddedSupervisor>
  readonly process: (changes?: Partial<SlotProcess>) => SlotProcess
}

/** A directory whose slots are all stopped at the end of the test, whatever became of its supervisors. */
function mustMakePlace(t: TestContext): Place {
  const root = mkdtempSync(join(tmpdir(), 'dorc-embedded-'))
  const dirs = { stateDir: join(root, 'state'), logDir: join(root, 'logs') }
  const opened: EmbeddedSupervisor[] = []
  const open: Place['open'] = async (limits = {}) => {
    const options = { ...dirs, log: silent, clock: systemClock, limits: { firstRestartMs: 50, ...limits } }
    const supervisor = await createEmbeddedSupervisor(options)
    opened.push(supervisor)
    return supervisor
  }
  t.after(async () => {
    for (const supervisor of opened) await supervisor[Symbol.asyncDispose]()
    await (await open()).stopAll()
    if (statSync(root).dev !== statSync(tmpdir()).dev) execFileSync('umount', [root])
    rmSync(root, { recursive: true })
  })
  return {
    root,
    open,
    process: (changes = {}) => ({
      app: 'web',
      slot: 'blue',
      release: 1,
      incarnation: 1,
      port: 21_235,
      startArgv: ['/bin/sleep', '1000'],
      stopArgv: null,
      reloadArgv: null,
      hooks: { beforeStart: null, afterSwitch: null, afterRollback: null },
      workingDir: root,
      environment: {},
      user: null,
      stopTimeoutMs: 5_000,
      sandbox: { writablePaths: [], home: false, devices: false, off: false },
      resources: { memoryMaxBytes: null, cpuQuotaPercent: null, tasksMax: 4_096, openFiles: 65_536 },
      ...changes,
    }),
  }
}

async function until(
  supervisor: EmbeddedSupervisor,
  isSo: (unit: ObservedUnit) => boolean,
): Promise<ObservedUnit> {
  const deadline = performance.now() + 30_000
  for (;;) {
    const unit = await supervisor.observe('web', 'blue')
    if (isSo(unit)) return unit
    assert.ok(performance.now() < deadline, `Gave up: ${JSON.stringify(unit)}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function textsOf(supervisor: EmbeddedSupervisor): Promise<string[]> {
  const options = { lines: 1_000, follow: false, signal: new AbortController().signal }
  return (await Array.fromAsync(supervisor.logs('web', 'blue', options))).map(({ text }) => text)
}

async function untilLogged(supervisor: EmbeddedSupervisor, pattern: RegExp): Promise<string> {
  const deadline = performance.now() + 30_000
  for (;;) {
    const texts = await textsOf(supervisor)
    const found = texts.find((text) => pattern.test(text))
    if (found !== undefined) return found
    assert.ok(performance.now() < deadline, `No ${String(pattern)} in ${JSON.stringify(texts)}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const isAlive = (pid: number): boolean => !['Z', undefined].includes(processStat(pid)?.state)
const keeperOf = (unit: ObservedUnit): number => processStat(unit.mainPid ?? 0)?.parent ?? 0

test('slots outlive a killed daemon, restart without it, and the next one knows all about it', async (t) => {
  const place = mustMakePlace(t)
  const daemon = `
    const { createEmbeddedSupervisor } = await import(${JSON.stringify(
      fileURLToPath(new URL('../../src/supervisor/embedded/embedded-supervisor.ts', import.meta.url)),
    )})
    const { systemClock } = await import(${JSON.stringify(
      fileURLToPath(new URL('../../src/platform/clock.ts', import.meta.url)),
    )})
    const [stateDir, logDir] = ${JSON.stringify([join(place.root, 'state'), join(place.root, 'logs')])}
    const limits = { firstRestartMs: 50 }
    const supervisor = await createEmbeddedSupervisor({ stateDir, logDir, log: console, clock: systemClock, limits })
    await supervisor.install(${JSON.stringify(place.process({ startArgv: ['/bin/sh', '-c', 'while :; do echo tick; sleep 0.05; done'] }))})
    await supervisor.start('web', 'blue')
    console.log('started')
    setInterval(() => undefined, 1_000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', daemon], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(createInterface(child.stdout), 'line')
  child.kill('SIGKILL')
  await once(child, 'exit')

  const next = await place.open()
  const first = await next.observe('web', 'blue')
  assert.equal(first.state, 'active')
  assert.equal(first.restarts, 0)
  assert.ok(first.mainPid !== null && isAlive(first.mainPid))
  const before = (await textsOf(next)).length
  const keeper = keeperOf(first)
  await next[Symbol.asyncDispose]()

  process.kill(first.mainPid, 'SIGKILL')
  const later = await place.open()
  const second = await until(later, ({ restarts, state }) => restarts === 1 && state === 'active')
  assert.equal(second.lastExit, 'signal KILL')
  assert.equal(keeperOf(second), keeper)
  assert.notEqual(second.invocation, first.invocation)
  while ((await textsOf(later)).length <= before) await new Promise((resolve) => setTimeout(resolve, 20))
  await later.stop('web', 'blue')
  assert.deepEqual((await later.observe('web', 'blue')).pids, [])
})

test('uninstall leaves the logs, and takes them away with what was put aside when it purges', async (t) => {
  const place = mustMakePlace(t)
  const supervisor = await place.open({ logFileBytes: 100 })
  const words = ['/bin/sh', '-c', 'for i in $(seq 30); do echo line $i; done; echo end; exec sleep 1000']
  await supervisor.install(place.process({ startArgv: words }))
  await supervisor.start('web', 'blue')
  await untilLogged(supervisor, /^end$/)
  await supervisor.stop('web', 'blue')
  await supervisor.uninstall('web', 'blue', { purge: false })
  assert.ok(readdirSync(join(place.root, 'logs/web')).length > 1)
  await supervisor.uninstall('web', 'blue', { purge: true })
  assert.deepEqual(readdirSync(join(place.root, 'logs')), [])
})

test('a dead keeper is replaced, and what it left behind is ended first', async (t) => {
  const place = mustMakePlace(t)
  const supervisor = await place.open()
  const startArgv = [
    '/bin/sh',
    '-c',
    'setsid sh -c "trap : TERM; while :; do sleep 1; done" & exec sleep 1000',
  ]
  await supervisor.install(place.process({ startArgv, stopTimeoutMs: 300 }))
  await supervisor.start('web', 'blue')
  const before = await until(supervisor, ({ pids }) => pids.length >= 3)
  process.kill(keeperOf(before), 'SIGKILL')
  const after = await until(
    supervisor,
    ({ state, invocation }) => state === 'active' && invocation !== before.invocation,
  )
  assert.equal(after.restarts, 1)
  for (const pid of before.pids) assert.ok(!isAlive(pid), `${pid} is left over`)
})

test('a slot that was stopped while its keeper was dead leaves nothing behind', async (t) => {
  const place = mustMakePlace(t)
  const supervisor = await place.open()
  await supervisor.install(place.process())
  await supervisor.start('web', 'blue')
  const before = await until(supervisor, ({ state }) => state === 'active')
  await supervisor[Symbol.asyncDispose]()
  process.kill(keeperOf(before), 'SIGKILL')
  const next = await place.open()
  await next.stop('web', 'blue')
  const { state, pids } = await next.observe('web', 'blue')
  assert.deepEqual({ state, pids }, { state: 'inactive', pids: [] })
  assert.ok(!isAlive(before.mainPid ?? 0))
})

test('after a boot the slots that should run are started, and the stopped ones are not', async (t) => {
  const place = mustMakePlace(t)
  const before = await place.open()
  for (const slot of ['blue', 'green'] as const) {
    await before.install(place.process({ slot }))
    await before.start('web', slot)
  }
  await before.stop('web', 'green')
  const { invocation } = await before.observe('web', 'blue')
  await before.stopAll()
  // A status of another boot names processes that mean nothing now, here one that lives: this test.
  const path = join(place.root, 'state/web/blue/status.json')
  const self = { pid: process.pid, startTicks: processStat(process.pid)?.startTicks }
  const status = JSON.parse(readFileSync(path, 'utf8')) as object
  writeFileSync(
    path,
    JSON.stringify({ ...status, bootId: 'another', state: 'active', keeper: self, main: self }),
  )

  const after = await place.open()
  const blue = await after.observe('web', 'blue')
  assert.equal(blue.state, 'active')
  assert.equal(blue.restarts, 0)
  assert.notEqual(blue.invocation, invocation)
  assert.equal((await after.observe('web', 'green')).state, 'inactive')
})

test('stop and restart end what the app forked into sessions of its own', async (t) => {
  const place = mustMakePlace(t)
  const supervisor = await place.open()
  const script = fileURLToPath(new URL('../fixtures/misbehaving.mjs', import.meta.url))
  const startArgv = [process.execPath, script, 'fork', 'and-exit']
  await supervisor.install(place.process({ startArgv, stopTimeoutMs: 100 }))
  await supervisor.start('web', 'blue')
  const line = await untilLogged(supervisor, /^forked \d+$/)
  const forked = Number(line.split(' ')[1])
  await until(supervisor, ({ restarts }) => restarts >= 1)
  assert.ok(!isAlive(forked))
  assert.equal((await supervisor.observe('web', 'blue')).lastExit, 'exit status 4')
})

test('a stop command that hangs is cut off, and its failure is in the log', async (t) => {
  const place = mustMakePlace(t)
  const supervisor = await place.open()
  await supervisor.install(place.process({ stopArgv: ['/bin/sleep', '1000'], stopTimeoutMs: 200 }))
  await supervisor.start('web', 'blue')
  await supervisor.stop('web', 'blue')
  assert.equal((await supervisor.observe('web', 'blue')).state, 'inactive')
  assert.deepEqual(await textsOf(supervisor), ['[dorc: stop command failed: no end within 0.2 s]'])
})

test('restarts wait longer each time, and begin anew after a good run', async (t) => {
  const place = mustMakePlace(t)
  const supervisor = await place.open({ firstRestartMs: 100, maxRestartMs: 400, resetAfterMs: 60_000 })
  await supervisor.install(place.process({ startArgv: ['/bin/sh', '-c', 'cut -d" " -f1 /proc/uptime'] }))
  await supervisor.start('web', 'blue')
  await until(supervisor, ({ restarts }) => restarts >= 5)
  const starts = (await textsOf(supervisor)).map(Number)
  const waits = starts.slice(1, 6).map((at, index) => at - (starts[index] ?? 0))
  // Lower bounds only: a busy machine makes any of them longer.
  for (const [index, least] of [0.08, 0.18, 0.38, 0.38].entries())
    assert.ok((waits[index] ?? 0) >= least, `wait ${index} of ${waits.join(', ')}`)
})

test('a process has the environment of its slot and no open file of the daemon', async (t) => {
  const place = mustMakePlace(t)
  const supervisor = await place.open()
  process.env['DORC_TEST_SECRET'] = 'of the daemon'
  t.after(() => delete process.env['DORC_TEST_SECRET'])
  await supervisor.install(place.process({ environment: { PORT: '21235', MOOD: 'good' } }))
  await supervisor.start('web', 'blue')
  const { mainPid, invocation } = await supervisor.observe('web', 'blue')
  const environment = readFileSync(`/proc/${mainPid}/environ`, 'utf8')
    .split('\0')
    .filter((entry) => entry !== '')
  for (const entry of ['PORT=21235', 'MOOD=good', `INVOCATION_ID=${invocation}`])
    assert.ok(environment.includes(entry))
  const names = environment.map((entry) => entry.split('=')[0] ?? '').sort((a, b) => (a < b ? -1 : 1))
  assert.deepEqual(names, [
    'HOME',
    'INVOCATION_ID',
    'LANG',
    'LOGNAME',
    'MOOD',
    'PATH',
    'PORT',
    'SHELL',
    'USER',
  ])
  const files = readdirSync(`/proc/${mainPid}/fd`).map((fd) => readlinkSync(`/proc/${mainPid}/fd/${fd}`))
  assert.deepEqual(
    files.map((file) => file.replace(/\d+/, 'N')),
    ['/dev/null', 'pipe:[N]', 'pipe:[N]'],
  )
  assert.equal(readlinkSync(`/proc/${mainPid}/cwd`), place.root)
})

test('what cannot be started says why', async (t) => {
  const place = mustMakePlace(t)
  const supervisor = await place.open()
  writeFileSync(join(place.root, 'plain'), 'text')
  writeFileSync(join(place.root, 'orphan'), '#!/no/such/interpreter\n', { mode: 0o755 })
  const cases: [Partial<SlotProcess>, string][] = [
    [{ startArgv: ['/no/such/program'] }, '"/no/such/program" does not exist'],
    [{ startArgv: [place.root] }, `"${place.root}" is not a file`],
    [{ startArgv: [join(place.root, 'plain')] }, `"${join(place.root, 'plain')}" is not executable`],
    [
      { startArgv: [join(place.root, 'orphan')] },
      `The interpreter named in the first line of "${join(place.root, 'orphan')}" does not exist`,
    ],
    [{ workingDir: '/no/such/directory' }, '"/no/such/directory" does not exist'],
  ]
  for (const [changes, reason] of cases) {
    await supervisor.install(place.process(changes))
    await assert.rejects(supervisor.start('web', 'blue'), (error: Error) => {
      assert.equal((error as Error & { code?: string }).code, 'UNIT_FAILED')
      assert.equal((error.cause as Error).message, reason)
      return true
    })
    const { state, lastExit } = await supervisor.observe('web', 'blue')
    assert.deepEqual({ state, lastExit }, { state: 'failed', lastExit: reason })
    await supervisor.stop('web', 'blue')
  }
})

test('a user that cannot be had is refused when the slot is installed', async (t) => {
  const place = mustMakePlace(t)
  const supervisor = await place.open()
  await assert.rejects(supervisor.install(place.process({ user: 'no-such-user' })), {
    code: 'UNIT_FAILED',
    message: 'Cannot install blue-web',
  })
})

test('root runs a slot as the user that it names', { skip: !isRoot && 'only root can' }, async (t) => {
  const place = mustMakePlace(t)
  const supervisor = await place.open()
  const startArgv = ['/bin/sh', '-c', 'echo "$USER $HOME $(id -u) $(id -G)"; exec sleep 1000']
  await supervisor.install(place.process({ startArgv, user: 'nobody', workingDir: '/' }))
  await supervisor.start('web', 'blue')
  await untilLogged(supervisor, /^nobody \/nonexistent 65534 65534$/)
})

test('a stopped process is ended, too', async (t) => {
  const place = mustMakePlace(t)
  const supervisor = await place.open()
  await supervisor.install(place.process({ stopTimeoutMs: 60_000 }))
  await supervisor.start('web', 'blue')
  const { mainPid } = await supervisor.observe('web', 'blue')
  process.kill(mainPid ?? 0, 'SIGSTOP')
  await supervisor.stop('web', 'blue')
  assert.equal((await supervisor.observe('web', 'blue')).lastExit, 'signal TERM')
})

test('on a full disk a slot goes on and is restarted; a change of it is refused', {
  skip: !isRoot,
}, async (t) => {
  const place = mustMakePlace(t)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', place.root])
  const supervisor = await place.open()
  await supervisor.install(place.process())
  await supervisor.start('web', 'blue')
  const before = await supervisor.observe('web', 'blue')
  const ballast = join(place.root, 'ballast')
  assert.throws(() => writeFileSync(ballast, Buffer.alloc(1_000_000)), { code: 'ENOSPC' })
  const keeper = keeperOf(before)
  process.kill(before.mainPid ?? 0, 'SIGKILL')
  const deadline = performance.now() + 30_000
  while (descendantsOf(keeper).every((pid) => pid === before.mainPid)) {
    assert.ok(performance.now() < deadline, 'it runs again')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await assert.rejects(supervisor.install(place.process({ slot: 'green' })), { code: 'SUPERVISOR_FAILED' })
  rmSync(ballast)
  const after = await until(supervisor, ({ restarts, state }) => restarts === 1 && state === 'active')
  assert.equal(after.lastExit, 'signal KILL')
})
