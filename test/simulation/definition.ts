import type { Definition, SlotDefinition } from '../../src/core/definition.ts'

const slot = (port: number, workingDir: string): SlotDefinition => ({
  port,
  workingDir,
  executable: 'web',
  start: ['{executable}'],
  stop: null,
  reload: null,
  hooks: { beforeStart: null, afterSwitch: null, afterRollback: null },
  environment: {},
  user: null,
  stopTimeoutMs: 30_000,
  probe: { kind: 'auto', intervalMs: 1_000, timeoutMs: 2_000 },
  sandbox: { writablePaths: [], home: false, devices: false, off: false },
  resources: { memoryMaxBytes: null, cpuQuotaPercent: null, tasksMax: 4_096, openFiles: 65_536 },
})

/** A definition with short, round times. */
export const definition: Definition = {
  listen: { host: '0.0.0.0', port: 8080 },
  uploadDir: '/var/tmp/web',
  watch: true,
  settleMs: 2_000,
  autoSwitch: false,
  bakeMs: 10_000,
  failoverCrashes: 0,
  failoverWithinMs: 600_000,
  drainTimeoutMs: 20_000,
  deployTimeoutMs: 15_000,
  minHealthyMs: 2_000,
  holdTimeoutMs: 10_000,
  preview: null,
  guardSlotPorts: true,
  keepReleases: 5,
  keepBytes: null,
  signatures: 'off',
  slots: { blue: slot(21_235, '/srv/blue'), green: slot(21_236, '/srv/green') },
}
