import { isIP } from 'node:net'
import { SLOTS, type Slot } from '../core/app.ts'
import type { Definition, ListenAddress, Probe, Sandbox, SlotDefinition } from '../core/definition.ts'
import { isWithin } from '../core/ports.ts'
import { defaultUploadDir, defaultWorkingDir, type Paths } from '../platform/paths.ts'
import type { AppFile, SlotTable } from './schema.ts'

/** Something that is wrong although each key by itself is right. */
export interface Contradiction {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

type Converted = { readonly definition: Definition } | { readonly problems: readonly Contradiction[] }

/** Fills in every default, once. */
export function toDefinition(name: string, file: AppFile, paths: Paths): Converted {
  const listen = parseListen(file.listen)
  const problems: Contradiction[] = []
  if (listen === null) {
    problems.push({ path: ['listen'], message: 'must be a port, "address:port" or "[IPv6 address]:port"' })
  }
  for (const slot of SLOTS) {
    if (file[slot].executable === undefined && file.executable === undefined) {
      problems.push({ path: ['executable'], message: 'is missing' })
      break
    }
  }
  if (listen === null || problems.length > 0) return { problems }
  const slotOf = (slot: Slot): SlotDefinition =>
    slotDefinition(file, file[slot], defaultWorkingDir(paths, name, slot))
  return {
    definition: {
      listen,
      uploadDir: file.upload_dir ?? defaultUploadDir(paths, name),
      watch: file.watch,
      settleMs: file.settle,
      autoSwitch: file.auto_switch,
      bakeMs: file.bake,
      drainTimeoutMs: file.drain_timeout,
      deployTimeoutMs: file.deploy_timeout,
      minHealthyMs: file.min_healthy,
      holdTimeoutMs: file.hold_timeout,
      keepReleases: file.keep_releases,
      slots: { blue: slotOf('blue'), green: slotOf('green') },
    },
  }
}

const DEFAULT_START = ['{executable}']
const DEFAULT_STOP_TIMEOUT_MS = 30_000

function slotDefinition(file: AppFile, own: SlotTable, defaultDir: string): SlotDefinition {
  return {
    port: own.port,
    workingDir: own.dir ?? defaultDir,
    executable: own.executable ?? file.executable ?? '',
    start: own.start ?? file.start ?? DEFAULT_START,
    stop: own.stop ?? file.stop ?? null,
    reload: own.reload ?? file.reload ?? null,
    environment: { ...file.environment, ...own.environment },
    user: own.user ?? file.user ?? null,
    stopTimeoutMs: own.stop_timeout ?? file.stop_timeout ?? DEFAULT_STOP_TIMEOUT_MS,
    probe: probeOf(own.probe ?? file.probe ?? {}),
    sandbox: sandboxOf({ ...file.sandbox, ...own.sandbox }),
  }
}

function probeOf(table: NonNullable<AppFile['probe']>): Probe {
  const times = { intervalMs: table.interval ?? 1_000, timeoutMs: table.timeout ?? 2_000 }
  if (table.http !== undefined) {
    const { http: path, expect_status: expectedStatus = null, host = null } = table
    return { kind: 'http', path, expectedStatus, host, ...times }
  }
  if (table.tcp === true) return { kind: 'tcp', ...times }
  if (table.command !== undefined) return { kind: 'command', command: table.command, ...times }
  return { kind: 'auto', ...times }
}

function sandboxOf(table: NonNullable<AppFile['sandbox']>): Sandbox {
  return {
    writablePaths: table.writable_paths ?? [],
    home: table.home ?? false,
    devices: table.devices ?? false,
    off: table.off ?? false,
  }
}

/** `8080` listens on every IPv4 address; `[::]:8080` on every address of both kinds. null: it is no address. */
export function parseListen(text: string | number): ListenAddress | null {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]:|([^:[\]]+):)?(\d{1,5})$/.exec(String(text)) ?? []
  const host = bracketed ?? plain ?? '0.0.0.0'
  const port = Number(digits)
  const isAddress = isIP(host) === (bracketed === undefined ? 4 : 6)
  return isAddress && port >= 1 && port <= 65_535 ? { host, port } : null
}

export function contradictions({ listen, uploadDir, slots }: Definition): Contradiction[] {
  const { blue, green } = slots
  const found: Contradiction[] = []
  if (blue.port === green.port)
    found.push({ path: ['green', 'port'], message: `must differ from blue.port (${blue.port})` })
  for (const slot of SLOTS) {
    const { port, workingDir } = slots[slot]
    if (port === listen.port)
      found.push({ path: [slot, 'port'], message: `must differ from the listen port (${port})` })
    if (isWithin(workingDir, uploadDir) || isWithin(uploadDir, workingDir)) {
      found.push({ path: [slot, 'dir'], message: `must not overlap with upload_dir (${uploadDir})` })
    }
    if (RESERVED_DIRS.includes(workingDir))
      found.push({ path: [slot, 'dir'], message: 'must be a directory of its own' })
  }
  if (isWithin(blue.workingDir, green.workingDir) || isWithin(green.workingDir, blue.workingDir)) {
    found.push({ path: ['green', 'dir'], message: `must not overlap with blue.dir (${blue.workingDir})` })
  }
  return found
}

/** Directories that belong to the system: a release is never put over them. */
const RESERVED_DIRS = [
  '/',
  '/bin',
  '/boot',
  '/dev',
  '/etc',
  '/home',
  '/lib',
  '/lib64',
  '/opt',
  '/proc',
  '/root',
  '/run',
  '/sbin',
].concat([
  '/srv',
  '/sys',
  '/tmp',
  '/usr',
  '/usr/bin',
  '/usr/lib',
  '/usr/local',
  '/var',
  '/var/lib',
  '/var/tmp',
])
