import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { systemClock } from '../../src/platform/clock.ts'
import type { Logger } from '../../src/platform/log.ts'
import { createEmbeddedSupervisor } from '../../src/supervisor/embedded/embedded-supervisor.ts'
import { supervisorContract } from './supervisor-contract.ts'

const silent: Logger = { info() {}, warn() {}, error() {}, child: () => silent }
const roots = new WeakMap<TestContext, string>()

/** One directory for each test: a second supervisor of the same test finds the slots of the first. */
function rootOf(t: TestContext): string {
  const known = roots.get(t)
  if (known !== undefined) return known
  const root = mkdtempSync(join(tmpdir(), 'dorc-embedded-'))
  roots.set(t, root)
  t.after(() => rmSync(root, { recursive: true }))
  return root
}

supervisorContract(
  'embedded',
  async (t) => {
    const root = rootOf(t)
    const [stateDir, logDir] = [join(root, 'state'), join(root, 'logs')]
    const limits = { firstRestartMs: 50 }
    return await createEmbeddedSupervisor({ stateDir, logDir, log: silent, clock: systemClock, limits })
  },
  async (t, changes) => ({
    app: 'web',
    slot: 'blue',
    release: 1,
    incarnation: 1,
    port: 21_235,
    startArgv: ['/bin/sleep', '1000'],
    stopArgv: null,
    reloadArgv: null,
    hooks: { beforeStart: null, afterSwitch: null, afterRollback: null },
    workingDir: rootOf(t),
    environment: {},
    user: null,
    stopTimeoutMs: 5_000,
    sandbox: { writablePaths: [], home: false, devices: false, off: false },
    resources: { memoryMaxBytes: null, cpuQuotaPercent: null, tasksMax: 4_096, openFiles: 65_536 },
    ...changes,
  }),
)
