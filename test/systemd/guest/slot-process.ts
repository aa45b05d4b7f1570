import type { SlotProcess } from '../../../src/core/slot-process.ts'
import type { Logger } from '../../../src/platform/log.ts'

export const quietLog: Logger = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => quietLog,
}

/** The blue slot of an app with everything at its default. */
export function slotProcessOf(app: string): SlotProcess {
  return {
    app,
    slot: 'blue',
    release: 1,
    incarnation: 1,
    port: 21235,
    startArgv: ['/bin/sleep', '1000'],
    stopArgv: null,
    reloadArgv: null,
    hooks: { beforeStart: null, afterSwitch: null, afterRollback: null },
    workingDir: `/var/lib/dorc/apps/${app}/blue`,
    environment: {},
    user: null,
    stopTimeoutMs: 5_000,
    sandbox: { writablePaths: [], home: false, devices: false, off: false },
    resources: { memoryMaxBytes: null, cpuQuotaPercent: null, tasksMax: 4_096, openFiles: 65_536 },
  }
}
