import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { SLOTS, type Slot, type UnitState } from '../../core/app.ts'
import { hasCode } from '../../core/errors.ts'
import type { EndedRun } from '../supervisor.ts'
import type { SlotProcess } from '../../core/slot-process.ts'

/**
 * What is on disk about one slot, and all that the supervisor and its keeper tell each other:
 *
 *   process.json   what to run; written by the supervisor while nothing runs
 *   enabled        is there while the slot is to run, also after a boot
 *   status.json    what runs; written by the keeper, and by the supervisor when no keeper lives
 */
export interface SlotFiles {
  readonly app: string
  readonly slot: Slot
  readonly directory: string
  readonly logPath: string
}

/** A slot's process together with the limits that its keeper holds it to. */
export interface Installed {
  readonly process: SlotProcess
  readonly limits: Limits
}

export interface Limits {
  /** The wait before the first automatic restart; doubles with each one. */
  readonly firstRestartMs: number
  readonly maxRestartMs: number
  /** After a run as long as this the waits begin again from the first. */
  readonly resetAfterMs: number
  /** A log file as long as this is put aside. */
  readonly logFileBytes: number
  /** How many log files are kept, with the present one. */
  readonly logFiles: number
}

/** Which process, so that a later one with the same number is never taken for it. */
export interface ProcessIdentity {
  readonly pid: number
  readonly startTicks: number
}

export interface Status {
  readonly bootId: string
  /** null: written by the supervisor, when there is no keeper. */
  readonly keeper: ProcessIdentity | null
  /** The keeper was told to stop and will not start the process again. */
  readonly isStopping: boolean
  readonly state: UnitState
  readonly main: ProcessIdentity | null
  /** Of the newest start; stays when that process has ended. */
  readonly invocation: string | null
  readonly restarts: number
  readonly since: string
  readonly lastExit: string | null
  /** Not in the files of older keepers. */
  readonly endedRun?: EndedRun | null
}

export function slotFiles(dirs: { stateDir: string; logDir: string }, app: string, slot: Slot): SlotFiles {
  return {
    app,
    slot,
    directory: join(dirs.stateDir, app, slot),
    logPath: join(dirs.logDir, app, `${slot}.log`),
  }
}

/** The slots that are installed. */
export function listSlots(dirs: { stateDir: string; logDir: string }): SlotFiles[] {
  return readdirSync(dirs.stateDir)
    .flatMap((app) => SLOTS.map((slot) => slotFiles(dirs, app, slot)))
    .filter(({ directory }) => existsSync(join(directory, 'process.json')))
}

export function readInstalled(files: SlotFiles): Installed | null {
  const read = readJson(join(files.directory, 'process.json'))
  return isInstalled(read) ? read : null
}

export function writeInstalled(files: SlotFiles, installed: Installed): void {
  mkdirSync(files.directory, { recursive: true, mode: 0o700 })
  mkdirSync(dirname(files.logPath), { recursive: true, mode: 0o700 })
  rmSync(join(files.directory, 'status.json'), { force: true })
  writeDurably(files.directory, 'process.json', JSON.stringify(installed))
}

export function removeInstalled(files: SlotFiles): void {
  const { directory } = files
  if (!existsSync(directory)) return
  // The definition goes first: half a removal must not look like a slot.
  rmSync(join(directory, 'process.json'), { force: true })
  for (const name of readdirSync(directory)) rmSync(join(directory, name))
  rmdirSync(directory)
  const appDirectory = dirname(directory)
  if (readdirSync(appDirectory).length === 0) rmdirSync(appDirectory)
}

/** The older ones, too; with the app's directory after its last slot's. */
export function removeLogs({ logPath }: SlotFiles): void {
  const directory = dirname(logPath)
  if (!existsSync(directory)) return
  const own = readdirSync(directory).filter((name) => name.startsWith(basename(logPath)))
  for (const name of own) rmSync(join(directory, name))
  if (readdirSync(directory).length === 0) rmdirSync(directory)
}

export function isEnabled(files: SlotFiles): boolean {
  return existsSync(join(files.directory, 'enabled'))
}

export function setEnabled(files: SlotFiles, wanted: boolean): void {
  if (isEnabled(files) === wanted) return
  if (wanted) writeDurably(files.directory, 'enabled', '')
  else {
    rmSync(join(files.directory, 'enabled'), { force: true })
    syncDirectory(files.directory)
  }
}

export function readStatus(files: SlotFiles): Status | null {
  const read = readJson(join(files.directory, 'status.json'))
  return isStatus(read) ? read : null
}

/** Enough to tell what dorc wrote from what the disk made of it; a schema library would cost each keeper megabytes. */
function isInstalled(read: unknown): read is Installed {
  if (!isObject(read) || !isObject(read['process']) || !isObject(read['limits'])) return false
  const { incarnation, startArgv, workingDir, environment, stopTimeoutMs } = read['process']
  return (
    typeof incarnation === 'number' &&
    Array.isArray(startArgv) &&
    typeof workingDir === 'string' &&
    isObject(environment) &&
    typeof stopTimeoutMs === 'number' &&
    Object.values(read['limits']).every((limit) => typeof limit === 'number')
  )
}

function isStatus(read: unknown): read is Status {
  if (!isObject(read)) return false
  const { bootId, keeper, main, state, restarts, since } = read
  return (
    typeof bootId === 'string' &&
    typeof state === 'string' &&
    typeof restarts === 'number' &&
    typeof since === 'string' &&
    [keeper, main].every((process) => process === null || isIdentity(process))
  )
}

const isIdentity = (read: unknown): read is ProcessIdentity =>
  isObject(read) && typeof read['pid'] === 'number' && typeof read['startTicks'] === 'number'

const isObject = (read: unknown): read is Record<string, unknown> => typeof read === 'object' && read !== null

/** Readers see the old status or the new one. Not synced: it means nothing after a boot. */
export function writeStatus(directory: string, status: Status): void {
  writeFileSync(join(directory, 'status.json.new'), JSON.stringify(status), { mode: 0o600 })
  renameSync(join(directory, 'status.json.new'), join(directory, 'status.json'))
}

function writeDurably(directory: string, name: string, text: string): void {
  const path = join(directory, name)
  writeFileSync(`${path}.new`, text, { mode: 0o600, flush: true })
  renameSync(`${path}.new`, path)
  syncDirectory(directory)
}

function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** null if there is none, or only a torn one, as after a power cut: both mean that nothing is known. */
function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR') || error instanceof SyntaxError) return null
    throw error
  }
}
