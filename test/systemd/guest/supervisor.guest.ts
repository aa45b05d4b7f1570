import { mkdir } from 'node:fs/promises'
import type { TestContext } from 'node:test'
import { openSystemd } from '../../../src/supervisor/systemd/systemd.ts'
import { createSystemdSupervisor } from '../../../src/supervisor/systemd/systemd-supervisor.ts'
import { supervisorContract } from '../../contract/supervisor-contract.ts'
import { quietLog, slotProcessOf } from './slot-process.ts'

/** Runs inside the machine, as root: see ../supervisor.test.ts. */
const stateDir = '/var/lib/dorc'
const appOf = new WeakMap<TestContext, string>()
let apps = 0

supervisorContract(
  'systemd',
  async (t) => {
    const systemd = await openSystemd()
    t.after(() => systemd[Symbol.asyncDispose]())
    return createSystemdSupervisor({ systemd, unitDir: '/etc/systemd/system', stateDir, log: quietLog })
  },
  async (t, changes) => {
    const app = appOf.get(t) ?? `app${++apps}`
    appOf.set(t, app)
    await mkdir(stateDir, { recursive: true, mode: 0o700 })
    await mkdir(`${stateDir}/apps/${app}/blue`, { recursive: true })
    return { ...slotProcessOf(app), ...changes }
  },
)
