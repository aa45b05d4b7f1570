import { closeSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs'
import { openDirectory, statPath } from './file-calls.ts'
import { scanTree } from './scan-tree.ts'

/** A process that is still at work in a tree. */
export interface Writer {
  readonly pid: number
  readonly program: string
  readonly path: string
}

/**
 * Processes that hold a file of the tree open for writing, or are an rsync at work in it: rsync works in the directory
 * that it fills, and between two files it has none of them open. Other users' processes show themselves to root only.
 */
export function findWriters(path: string): Writer[] {
  const rootFd = openDirectory(path, true)
  try {
    const tree = new Map<string, string>()
    for (const entry of scanTree(rootFd)) tree.set(entry.stat.identity, entry.path)
    const realPath = realpathSync(path)
    return processes().flatMap((pid) => writersIn(pid, tree, realPath))
  } finally {
    closeSync(rootFd)
  }
}

function processes(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== process.pid)
}

function writersIn(pid: number, tree: ReadonlyMap<string, string>, realPath: string): Writer[] {
  const program = orNull(() => readFileSync(`/proc/${pid}/comm`, 'utf8').trim()) ?? ''
  if (program === 'rsync') {
    const cwd = orNull(() => readlinkSync(`/proc/${pid}/cwd`))
    if (cwd === realPath || cwd?.startsWith(`${realPath}/`)) return [{ pid, program, path: cwd }]
  }
  for (const fd of orNull(() => readdirSync(`/proc/${pid}/fd`)) ?? []) {
    const path = writtenPath(pid, fd, tree)
    if (path !== null) return [{ pid, program, path }]
  }
  return []
}

function writtenPath(pid: number, fd: string, tree: ReadonlyMap<string, string>): string | null {
  // The link itself says at once what is a socket or a pipe; a stat would have to look.
  const target = orNull(() => readlinkSync(`/proc/${pid}/fd/${fd}`))
  if (!target?.startsWith('/')) return null
  const stat = orNull(() => statPath(`/proc/${pid}/fd/${fd}`))
  const path = stat === null ? undefined : tree.get(stat.identity)
  if (path === undefined) return null
  const flags = orNull(
    () => /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1],
  )
  const O_ACCMODE = 0o3
  return (Number.parseInt(flags ?? '0', 8) & O_ACCMODE) === 0 ? null : path
}

/** A process can end, or be somebody else's, at any moment of the look. */
function orNull<T>(look: () => T): T | null {
  try {
    return look()
  } catch {
    return null
  }
}
