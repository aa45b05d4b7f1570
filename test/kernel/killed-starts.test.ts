import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { closeKernel, damageOf, openKernel } from '../../src/dataplane/steering/kernel.ts'
import { extent } from '../extent.ts'
import { attachedPrograms, enterOwnNetwork, makeOld, mountBpf } from './network.ts'

/** Starts of the steering that SIGKILL ends before one of their calls of bpf(2): load, attach, pin. */

/** At each so many calls there is a kill. */
const STEP = extent(6, 1)
const mounted = mkdtempSync(join(tmpdir(), 'dorc-bpf-'))

before(() => {
  enterOwnNetwork()
  mountBpf(mounted)
})
after(() => {
  execFileSync('umount', [mounted])
  rmSync(mounted, { recursive: true })
})

/** What a start finds. */
const STARTS: Readonly<Record<string, (pins: string) => void>> = {
  'a first start': () => undefined,
  'an upgrade': makeOld,
  'a repair'(pins) {
    makeOld(pins)
    rmSync(join(pins, 'guards'))
  },
}

for (const [what, prepare] of Object.entries(STARTS))
  test(`${what} that is killed before ${STEP === 1 ? 'any' : 'some'} of its calls of bpf(2) is made good by the next one`, async (t) => {
    let kills = 0
    for (let nth = 1, isKilled = true; isKilled; nth += STEP) {
      const pins = join(mounted, `${what.replaceAll(' ', '-')}-${nth}`)
      prepare(pins)
      isKilled = await openKilledAt(pins, nth)
      const next = openKernel(pins)
      assert.equal(damageOf(next, pins), null)
      assert.equal(attachedPrograms(), 1, `killed before call ${nth}`)
      closeKernel(next)
      rmSync(pins, { recursive: true })
      if (isKilled) kills += 1
    }
    assert.ok(kills * STEP > 10, `only ${kills} kills`)
    t.diagnostic(`${kills} kills`)
  })

/** Opens in a process that SIGKILL ends as it enters its nth bpf(2); false if it has fewer of them, and lived. */
async function openKilledAt(pins: string, nth: number): Promise<boolean> {
  const kernel = new URL('../../src/dataplane/steering/kernel.ts', import.meta.url).pathname
  const script = `import { openKernel } from '${kernel}'\nopenKernel('${pins}')`
  const node = [process.execPath, '--input-type=module-typescript', '-e', script]
  const strace = ['-f', '--seccomp-bpf', '-o', '/dev/null', '-e', `inject=bpf:signal=KILL:when=${nth}`]
  const child = spawn('strace', [...strace, ...node], { stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text))
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null]
  if (signal === 'SIGKILL') return true
  assert.equal(status, 0, complaint)
  return false
}
