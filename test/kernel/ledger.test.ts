import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { before, test, type TestContext } from 'node:test'
import { descendantsOf } from '../../src/platform/proc.ts'
import { dataPlanes, slotPids } from '../contract/dataplanes.ts'
import { openIdle } from '../contract/raw-client.ts'
import { freePort, until } from '../contract/tcp-peers.ts'
import { extent } from '../extent.ts'
import { enterOwnNetwork } from './network.ts'

/** What a list of many connections costs the daemon and the relay. */
before(enterOwnNetwork)

const HOST = '127.0.0.1'
/** The relay needs two files for each; a shell often allows 20,000. */
const CONNECTIONS = extent(2_000, 9_500)
const BATCH = 500
/** sysconf(_SC_CLK_TCK) is 100 on every Linux that Node runs on. */
const MS_PER_TICK = 10

for (const { name, open } of dataPlanes)
  test(`${name}: ${CONNECTIONS} connections are listed, with peer, age and process, within a second of CPU time`, async (t) => {
    const { plane } = await open(t)
    const { pid, port: slotPort } = await serveNamed(t)
    const port = await freePort(t)
    // Whatever this process holds is a client's.
    for (const pids of Object.values(slotPids)) pids.delete(process.pid)
    await plane.setRoute({
      app: 'web',
      listen: { host: HOST, port },
      target: { slot: 'blue', host: HOST, port: slotPort },
      paused: false,
      holdTimeoutMs: 20_000,
      guardedPorts: [],
    })
    // Not all at once: the accept queue is shorter, and a SYN that is dropped comes again only after seconds.
    for (let count = BATCH; count <= CONNECTIONS; count += BATCH) {
      openIdle(t, port, BATCH)
      await until(`${count} are accepted`, async () => {
        const { routes } = await plane.observe()
        return routes[0]?.connections.blue === count
      })
    }
    const others = descendantsOf(process.pid).filter((other) => other !== pid)
    const cpuMs = (): number =>
      process.cpuUsage().user / 1_000 +
      process.cpuUsage().system / 1_000 +
      others.reduce((sum, other) => sum + cpuMsOf(other), 0)
    const before = cpuMs()
    const listed = await plane.connections('web')
    const spentMs = cpuMs() - before
    t.diagnostic(`${name}: ${CONNECTIONS} connections listed with ${spentMs.toFixed(0)} ms of CPU time`)
    assert.equal(listed.length, CONNECTIONS)
    assert.equal(new Set(listed.map(({ id }) => id)).size, CONNECTIONS)
    assert.ok(
      listed.every(({ process: owner, ageMs, via }) => owner?.pid === pid && ageMs !== null && via === name),
    )
    assert.ok(spentMs < 1_000, `${spentMs} ms`)
  })

async function serveNamed(t: TestContext): Promise<{ pid: number; port: number }> {
  const script = new URL('named-server.mjs', import.meta.url).pathname
  const child = spawn(process.execPath, [script, 'blue'], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const pid = child.pid ?? 0
  slotPids.blue.add(pid)
  return { pid, port: Number(String((await once(child.stdout, 'data'))[0])) }
}

/** User and system time (proc(5), stat fields 14 and 15). */
function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK
}
