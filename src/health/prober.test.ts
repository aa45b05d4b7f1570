import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import net, { type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { test, type TestContext } from 'node:test'
import type { Health } from '../core/app.ts'
import type { Probe } from '../core/definition.ts'
import { systemClock } from '../platform/clock.ts'
import type { Logger } from '../platform/log.ts'
import { createProber, type Prober, type ProbeTarget } from './prober.ts'

const silent: Logger = { info() {}, warn() {}, error() {}, child: () => silent }
const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../test/fixtures/${name}.mjs`, import.meta.url))
const AUTO: Probe = { kind: 'auto', intervalMs: 50, timeoutMs: 500 }

async function mustFindFreePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function mustRun(t: TestContext, port: number, argv: string[]): ChildProcess & { pid: number } {
  const child = spawn(argv[0] ?? '', argv.slice(1), { stdio: 'ignore', env: { PORT: String(port) } })
  t.after(() => child.kill('SIGKILL'))
  assert.ok(child.pid !== undefined)
  return child as ChildProcess & { pid: number }
}

const runFixture = (t: TestContext, port: number, name: string, ...words: string[]) =>
  mustRun(t, port, [process.execPath, fixture(name), ...words])

function targetOf(pid: number, port: number, changes: Partial<ProbeTarget> = {}): ProbeTarget {
  return {
    invocation: 'first',
    pids: [pid],
    probe: AUTO,
    pace: 'fast',
    process: {
      app: 'web',
      slot: 'blue',
      release: 1,
      incarnation: 1,
      port,
      startArgv: ['/bin/true'],
      stopArgv: null,
      reloadArgv: null,
      hooks: { beforeStart: null, afterSwitch: null, afterRollback: null },
      workingDir: '/',
      environment: {},
      user: null,
      stopTimeoutMs: 1_000,
      sandbox: { writablePaths: [], home: false, devices: false, off: false },
      resources: { memoryMaxBytes: null, cpuQuotaPercent: null, tasksMax: 4_096, openFiles: 65_536 },
    },
    ...changes,
  }
}

function mustProbe(t: TestContext): Prober {
  const prober = createProber({ clock: systemClock, log: silent })
  t.after(() => prober[Symbol.dispose]())
  return prober
}

/** Waits for what the prober says about the blue slot of `web`. */
async function until<S extends Health['state']>(
  prober: Prober,
  state: S,
  isEnough: (health: Extract<Health, { state: S }>) => boolean = () => true,
): Promise<Extract<Health, { state: S }>> {
  const deadline = performance.now() + 20_000
  for (;;) {
    const health = prober.health('web', 'blue')
    if (health.state === state && isEnough(health as Extract<Health, { state: S }>))
      return health as Extract<Health, { state: S }>
    assert.ok(performance.now() < deadline, `${state} never came; it is ${JSON.stringify(health)}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

test('a slot is unknown, then failing while nothing listens, then passing from its first pass on', async (t) => {
  const port = await mustFindFreePort()
  const prober = mustProbe(t)
  const changes: string[] = []
  prober.onChange((app, slot) => changes.push(`${slot} ${app} ${prober.health(app, slot).state}`))
  assert.deepEqual(prober.health('web', 'blue'), { state: 'unknown' })
  const { pid } = runFixture(t, port, 'healthy')
  prober.watch('web', 'blue', targetOf(pid, port))
  assert.deepEqual(prober.health('web', 'blue'), { state: 'unknown' })
  const waiting = await until(prober, 'failing')
  assert.equal(waiting.detail, `nothing listens on port ${port}`)
  const first = await until(prober, 'passing')
  assert.match(first.detail, /^HTTP 200 in /)
  const later = await until(prober, 'passing', (health) => health.detail !== first.detail)
  assert.equal(later.since, first.since)
  assert.ok(changes.includes('blue web failing') && changes.at(-1) === 'blue web passing')
  assert.equal(prober.lastResult('web', 'blue')?.ok, true)
})

test('an app that hangs after it spoke HTTP fails, though its port still takes connections', async (t) => {
  const port = await mustFindFreePort()
  const prober = mustProbe(t)
  const app = runFixture(t, port, 'healthy')
  prober.watch('web', 'blue', targetOf(app.pid, port))
  await until(prober, 'passing')
  app.kill('SIGSTOP')
  const { detail } = await until(prober, 'failing', ({ failures }) => failures >= 2)
  assert.equal(detail, 'no answer in 500 ms')
  app.kill('SIGCONT')
  await until(prober, 'passing')
})

test('an app that is stopped from its first connection on never passes as one that speaks no HTTP', async (t) => {
  const port = await mustFindFreePort()
  const app = runFixture(t, port, 'healthy')
  const prober = mustProbe(t)
  prober.watch('web', 'blue', targetOf(app.pid, port))
  await until(prober, 'passing')
  prober.forget('web', 'blue')
  app.kill('SIGSTOP')
  prober.watch('web', 'blue', targetOf(app.pid, port, { invocation: 'second' }))
  const { detail } = await until(prober, 'failing', ({ failures }) => failures >= 2)
  assert.match(detail, /^accepts no connections: \d+ wait since 500 ms \(does not speak HTTP\)$/)
})

test('auto falls back to tcp for an app that speaks something else, and says so', async (t) => {
  const port = await mustFindFreePort()
  const prober = mustProbe(t)
  const script = `
import os, socket
server = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))
while True:
    one, _ = server.accept()
    one.sendall(b'+HELLO\\r\\n')
    one.close()`
  const { pid } = mustRun(t, port, ['/usr/bin/python3', '-c', script])
  prober.watch('web', 'blue', targetOf(pid, port))
  const { detail } = await until(prober, 'passing')
  assert.match(detail, /^tcp connect in [\d.]+ ms \(does not speak HTTP\)$/)
})

test('nothing is sent to a port that another process holds: it is named', async (t) => {
  const port = await mustFindFreePort()
  let connections = 0
  const squatter = net.createServer(() => (connections += 1)).listen(port, '127.0.0.1')
  t.after(() => squatter.close())
  await once(squatter, 'listening')
  const prober = mustProbe(t)
  const app = runFixture(t, port, 'misbehaving', 'never-listen')
  prober.watch('web', 'blue', targetOf(app.pid, port))
  const { detail } = await until(prober, 'failing', ({ failures }) => failures >= 3)
  assert.match(detail, new RegExp(`^port ${port} is held by pid ${process.pid} \\(\\S+, user \\S+\\)$`))
  assert.equal(connections, 0)
})

test('an app on the wrong port is told where it listens', async (t) => {
  const [port, other] = [await mustFindFreePort(), await mustFindFreePort()]
  const prober = mustProbe(t)
  const app = runFixture(t, port, 'misbehaving', 'wrong-port', String(other))
  prober.watch('web', 'blue', targetOf(app.pid, port))
  const elsewhere = `nothing listens on port ${port}; the unit listens on ${other}`
  await until(prober, 'failing', ({ detail }) => detail === elsewhere)
})

test('health begins anew with each start of the process, and is gone when it is forgotten', async (t) => {
  const port = await mustFindFreePort()
  const prober = mustProbe(t)
  const { pid } = runFixture(t, port, 'healthy')
  prober.watch('web', 'blue', targetOf(pid, port))
  await until(prober, 'passing')
  prober.watch('web', 'blue', targetOf(pid, port))
  assert.equal(prober.health('web', 'blue').state, 'passing')
  prober.watch('web', 'blue', targetOf(pid, port, { invocation: 'second' }))
  assert.deepEqual(prober.health('web', 'blue'), { state: 'unknown' })
  await until(prober, 'passing')
  prober.forget('web', 'blue')
  assert.deepEqual(prober.health('web', 'blue'), { state: 'unknown' })
  assert.equal(prober.lastResult('web', 'blue'), null)
})

test('failures are counted in a row, and a listener of a child of the unit is its own', async (t) => {
  const port = await mustFindFreePort()
  const prober = mustProbe(t)
  const probe: Probe = { ...AUTO, kind: 'http', path: '/', expectedStatus: 200, host: null }
  const words = [process.execPath, fixture('misbehaving'), 'status', '503']
  const { pid } = mustRun(t, port, ['/bin/sh', '-c', '"$@"; true', 'sh', ...words])
  prober.watch('web', 'blue', targetOf(pid, port, { probe }))
  const health = await until(prober, 'failing', ({ detail }) => detail === 'HTTP 503, wanted 200')
  const later = await until(prober, 'failing', ({ failures }) => failures >= health.failures + 2)
  assert.equal(later.detail, 'HTTP 503, wanted 200')
})

test('at slow pace a slot is left alone, and hurry is obeyed at once', async (t) => {
  const port = await mustFindFreePort()
  const prober = mustProbe(t)
  const app = runFixture(t, port, 'healthy')
  // Ten times this is longer than the test waits for anything.
  const slow = { pace: 'slow', probe: { ...AUTO, intervalMs: 3_000 } } as const
  prober.watch('web', 'blue', targetOf(app.pid, port))
  await until(prober, 'passing')
  prober.watch('web', 'blue', targetOf(app.pid, port, slow))
  await until(prober, 'passing')
  app.kill('SIGKILL')
  await once(app, 'exit')
  prober.watch('web', 'blue', targetOf(app.pid, port, { ...slow, pace: 'fast' }))
  await until(prober, 'failing')
})
