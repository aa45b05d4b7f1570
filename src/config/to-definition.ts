import type { Slot } from '../core/app.ts'
import type { Definition, Probe, Sandbox, SlotDefinition } from '../core/definition.ts'
import { defaultUploadDir, defaultWorkingDir, type Paths } from '../platform/paths.ts'
import type { AppFile, ProbeTable, SandboxTable, SlotTable } from './schema.ts'

const DEFAULT_START = ['{executable}']
const DEFAULT_STOP_TIMEOUT_MS = 30_000
const DEFAULT_TASKS_MAX = 4_096
const DEFAULT_OPEN_FILES = 65_536
const DEFAULT_PROBE_INTERVAL_MS = 1_000
const DEFAULT_PROBE_TIMEOUT_MS = 2_000

/** Fills in every default, once. A missing executable comes out empty: `contradictions()` refuses it. */
export function toDefinition(name: string, file: AppFile, paths: Paths): Definition {
  const slotOf = (slot: Slot): SlotDefinition =>
    slotDefinition(file, file[slot], defaultWorkingDir(paths, name, slot))
  return {
    listen: file.listen,
    preview: file.preview ?? null,
    uploadDir: file.upload_dir ?? defaultUploadDir(paths, name),
    watch: file.watch,
    settleMs: file.settle,
    autoSwitch: file.auto_switch,
    bakeMs: file.bake,
    drainTimeoutMs: file.drain_timeout,
    deployTimeoutMs: file.deploy_timeout,
    minHealthyMs: file.min_healthy,
    holdTimeoutMs: file.hold_timeout,
    failoverCrashes: file.failover_crashes,
    failoverWithinMs: file.failover_within,
    guardSlotPorts: file.guard_slot_ports,
    keepReleases: file.keep_releases,
    keepBytes: file.keep_bytes ?? null,
    signatures: file.signatures,
    slots: { blue: slotOf('blue'), green: slotOf('green') },
  }
}

function slotDefinition(file: AppFile, own: SlotTable, defaultDir: string): SlotDefinition {
  return {
    port: own.port,
    workingDir: own.dir ?? defaultDir,
    executable: own.executable ?? file.executable ?? '',
    start: own.start ?? file.start ?? DEFAULT_START,
    stop: own.stop ?? file.stop ?? null,
    reload: own.reload ?? file.reload ?? null,
    hooks: {
      beforeStart: own.before_start ?? file.before_start ?? null,
      afterSwitch: own.after_switch ?? file.after_switch ?? null,
      afterRollback: own.after_rollback ?? file.after_rollback ?? null,
    },
    environment: { ...file.environment, ...own.environment },
    user: own.user ?? file.user ?? null,
    stopTimeoutMs: own.stop_timeout ?? file.stop_timeout ?? DEFAULT_STOP_TIMEOUT_MS,
    probe: probeOf(mergedProbe(file.probe, own.probe)),
    resources: {
      memoryMaxBytes: own.memory_max ?? file.memory_max ?? null,
      cpuQuotaPercent: own.cpu_quota ?? file.cpu_quota ?? null,
      tasksMax: own.tasks_max ?? file.tasks_max ?? DEFAULT_TASKS_MAX,
      openFiles: own.open_files ?? file.open_files ?? DEFAULT_OPEN_FILES,
    },
    sandbox: sandboxOf({ ...file.sandbox, ...own.sandbox }),
  }
}

/** The probe tables of both slots as they take effect. */
export function probeTables(file: AppFile): Readonly<Record<Slot, ProbeTable>> {
  return {
    blue: mergedProbe(file.probe, file.blue.probe),
    green: mergedProbe(file.probe, file.green.probe),
  }
}

/** A slot that chooses a kind of its own takes only the times of the shared table: the rest belongs to the other kind. */
function mergedProbe(shared: ProbeTable = {}, own: ProbeTable = {}): ProbeTable {
  const { interval, timeout } = shared
  const choosesKind = (own.http ?? own.tcp ?? own.command) !== undefined
  return { ...(choosesKind ? { interval, timeout } : shared), ...own }
}

function probeOf(table: ProbeTable): Probe {
  const { interval: intervalMs = DEFAULT_PROBE_INTERVAL_MS, timeout: timeoutMs = DEFAULT_PROBE_TIMEOUT_MS } =
    table
  if (table.http !== undefined) {
    const { http: path, expect_status: expectedStatus = null, host = null } = table
    return { kind: 'http', path, expectedStatus, host, intervalMs, timeoutMs }
  }
  if (table.tcp === true) return { kind: 'tcp', intervalMs, timeoutMs }
  if (table.command !== undefined) return { kind: 'command', command: table.command, intervalMs, timeoutMs }
  return { kind: 'auto', intervalMs, timeoutMs }
}

function sandboxOf(table: SandboxTable): Sandbox {
  return {
    writablePaths: table.writable_paths ?? [],
    home: table.home ?? false,
    devices: table.devices ?? false,
    off: table.off ?? false,
  }
}
