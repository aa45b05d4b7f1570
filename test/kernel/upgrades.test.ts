import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { promisify } from 'node:util'
import { withAppListener } from '../../src/dataplane/steering/app-listener.ts'
import { linkInfo } from '../../src/dataplane/steering/bpf.ts'
import { closeKernel, openKernel } from '../../src/dataplane/steering/kernel.ts'
import { SteeringTable } from '../../src/dataplane/steering/steering-table.ts'
import { attachedPrograms, enterOwnNetwork, makeOld, mountBpf } from './network.ts'

/** New versions of the program under load. */
const UPGRADES = 100
const REQUESTS = 20_000
const mounted = mkdtempSync(join(tmpdir(), 'dorc-bpf-'))
const listen = { host: '127.0.0.1', port: 8080 }

before(() => {
  enterOwnNetwork()
  mountBpf(mounted)
})
after(() => {
  execFileSync('umount', [mounted])
  rmSync(mounted, { recursive: true })
})

function freshPins(t: TestContext): string {
  const pins = join(mounted, `t${Math.random().toString(36).slice(2)}`)
  t.after(() => rmSync(pins, { recursive: true, force: true }))
  return pins
}

/** A slot in a process of its own, steered to. Nobody else listens: a gap in the steering would refuse a client. */
async function steerToServer(t: TestContext, pins: string): Promise<void> {
  const script = new URL('named-server.mjs', import.meta.url).pathname
  const server = spawn(process.execPath, [script, 'blue'], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => server.kill('SIGKILL'))
  const port = Number(String((await once(server.stdout, 'data'))[0]))
  const kernel = openKernel(pins)
  const table = new SteeringTable(kernel.maps)
  const number = table.add(listen)
  const target = { slot: 'blue', host: '127.0.0.1', port } as const
  const found = withAppListener([server.pid ?? 0], { listen, target }, (fd) => table.point(number, fd))
  assert.equal(found.kind, 'fit')
  closeKernel(kernel)
}

test(`${UPGRADES} upgrades of the program under load fail no request`, async (t) => {
  const pins = freshPins(t)
  await steerToServer(t, pins)
  const programs = new Set<number>()
  const load = ab()
  const state = { isOver: false }
  const ended = load.finally(() => (state.isOver = true))
  while (!state.isOver || programs.size < UPGRADES) {
    makeOld(pins)
    const kernel = openKernel(pins)
    programs.add(linkInfo(kernel.link).programId)
    closeKernel(kernel)
    await turn()
  }
  const output = await ended
  assert.match(output, new RegExp(`Complete requests: +${REQUESTS}\\n`))
  assert.match(output, /Failed requests: +0\n/)
  assert.equal(attachedPrograms(), 1)
  t.diagnostic(`${programs.size} programs, ${REQUESTS} requests`)
})

async function ab(): Promise<string> {
  const argv = ['-q', '-l', '-n', String(REQUESTS), '-c', '10', `http://${listen.host}:${listen.port}/`]
  return (await promisify(execFile)('ab', argv)).stdout
}
