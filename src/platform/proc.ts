import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { hasCode } from '../core/errors.ts'

/**
 * What /proc says about processes (proc(5)). Each answer may be out of date when it is read: a process that is gone
 * is an answer (null, or left out), not an error.
 */
export interface ProcessStat {
  readonly pid: number
  /** The executable's name, at most 15 bytes. */
  readonly command: string
  /** R, S, D, Z, …; Z is dead, and only waits for its parent. */
  readonly state: string
  readonly parent: number
  readonly session: number
  /** Clock ticks after boot: with the pid and the boot id, the identity of a process. */
  readonly startTicks: number
}

export function processStat(pid: number): ProcessStat | null {
  const text = readProcFile(`/proc/${pid}/stat`)
  if (text === null) return null
  // The name stands in parentheses and may itself contain spaces and parentheses.
  const nameEnd = text.lastIndexOf(')')
  const fields = text.slice(nameEnd + 2).split(' ')
  return {
    pid,
    command: text.slice(text.indexOf('(') + 1, nameEnd),
    state: fields[0] ?? '?',
    parent: Number(fields[1]),
    session: Number(fields[3]),
    startTicks: Number(fields[19]),
  }
}

/** True while this very process runs, not another one that got its number; a zombie does not run. */
export function isRunning({ pid, startTicks }: { pid: number; startTicks: number }): boolean {
  const stat = processStat(pid)
  return stat !== null && stat.startTicks === startTicks && stat.state !== 'Z'
}

/** Every process that we may see. */
export function allProcesses(): ProcessStat[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => processStat(Number(name)))
    .filter((stat) => stat !== null)
}

/** Children, their children and so on, without zombies; a process whose parent died belongs to its subreaper. */
export function descendantsOf(pid: number): number[] {
  const found: number[] = []
  const waiting = [pid]
  const parents = hasChildrenFiles() ? null : allProcesses()
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const child of parents === null ? childrenOf(next) : parents.filter((one) => one.parent === next)) {
      waiting.push(child.pid)
      if (child.state !== 'Z') found.push(child.pid)
    }
  }
  return found.sort((a, b) => a - b)
}

/** Direct children that are dead and have not been waited for. */
export function zombiesOf(pid: number): number[] {
  return childrenOf(pid)
    .filter((child) => child.state === 'Z')
    .map((child) => child.pid)
}

/** Resident memory of all of them in bytes; pages that they share count once for each. */
export function residentBytes(pids: readonly number[]): number {
  let kilobytes = 0
  for (const pid of pids) {
    const status = readProcFile(`/proc/${pid}/status`) ?? ''
    kilobytes += Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0)
  }
  return kilobytes * 1024
}

/** The processes whose environment at their start had this very entry, `NAME=value`. */
export function processesWithEnvironment(entry: string): number[] {
  return allProcesses()
    .filter(({ pid, state }) => {
      const environment = state === 'Z' ? null : readProcFile(`/proc/${pid}/environ`)
      return environment !== null && `\0${environment}`.includes(`\0${entry}\0`)
    })
    .map(({ pid }) => pid)
}

/** The effective user and group of a process. */
export function ownerOf(pid: number): { uid: number; gid: number } | null {
  const status = readProcFile(`/proc/${pid}/status`) ?? ''
  const [uid, gid] = ['Uid', 'Gid'].map(
    (key) => new RegExp(`^${key}:\\s+\\d+\\s+(\\d+)`, 'm').exec(status)?.[1],
  )
  return uid === undefined || gid === undefined ? null : { uid: Number(uid), gid: Number(gid) }
}

/** Inodes of the sockets that a process holds open, by the path of the fd; empty if we may not look. */
export function socketsOf(pid: number): Map<string, number> {
  const sockets = new Map<string, number>()
  const folder = `/proc/${pid}/fd`
  for (const name of orNull(() => readdirSync(folder)) ?? []) {
    const inode = socketAt(`${folder}/${name}`)
    if (inode !== null) sockets.set(`${folder}/${name}`, inode)
  }
  return sockets
}

/** The inode of the socket behind `/proc/PID/fd/N`; null if it is none. */
export function socketAt(fdPath: string): number | null {
  const target = orNull(() => readlinkSync(fdPath))
  const inode = target === null ? undefined : /^socket:\[(\d+)\]$/.exec(target)?.[1]
  return inode === undefined ? null : Number(inode)
}

function childrenOf(pid: number): ProcessStat[] {
  if (!hasChildrenFiles()) return allProcesses().filter(({ parent }) => parent === pid)
  const threads = orNull(() => readdirSync(`/proc/${pid}/task`)) ?? []
  return threads
    .flatMap((thread) => (readProcFile(`/proc/${pid}/task/${thread}/children`) ?? '').trim().split(' '))
    .filter((child) => child !== '')
    .map((child) => processStat(Number(child)))
    .filter((stat) => stat !== null)
}

let childrenFiles: boolean | null = null

/** The kernel lists children per thread if it was built with CONFIG_PROC_CHILDREN; else all of /proc must be read. */
function hasChildrenFiles(): boolean {
  childrenFiles ??= readProcFile(`/proc/${process.pid}/task/${process.pid}/children`) !== null
  return childrenFiles
}

function readProcFile(path: string): string | null {
  return orNull(() => readFileSync(path, 'utf8'))
}

/** ESRCH: it ended between open and read. EACCES, EPERM: it is somebody else's. */
function orNull<T>(read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].some((code) => hasCode(error, code))) return null
    throw error
  }
}
