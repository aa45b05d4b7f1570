import { createHash } from 'node:crypto'
import { setImmediate as yieldToLoop } from 'node:timers/promises'
import { describeError, hasCode } from '../core/errors.ts'
import { openDirectory, owned, statFd } from './file-calls.ts'
import { entryKey, type ScannedEntry, scanTree } from './scan-tree.ts'

/** A directory, and not only its path: another one may have that at the next look. */
export interface Directory {
  readonly path: string
  readonly inode: string
}

export interface TreeLook {
  /** The same as long as names, kinds, rights, sizes, times and inodes are; null: nothing is there. */
  readonly fingerprint: string | null
  /** The tree's own first, up to `MAX_DIRECTORIES`. */
  readonly directories: readonly Directory[]
  readonly costMs: number
}

/** An inotify watch costs the kernel about 1 KB, and a user has a limited number of them. */
const MAX_DIRECTORIES = 256
/** About 2 ms of work: what else the process does waits no longer than that. */
const ENTRIES_AT_ONCE = 500

/** Looks at a whole tree, metadata only. A tree that cannot be read has a fingerprint, too: it is for others to refuse. */
export async function lookAtTree(path: string): Promise<TreeLook> {
  const started = performance.now()
  const directories: Directory[] = []
  const hash = createHash('sha256')
  let count = 0
  let costMs = 0
  let resumed = started
  const addDirectory = (path: string, inode: string): void => {
    if (directories.length < MAX_DIRECTORIES) directories.push({ path, inode })
  }
  const add = (entry: ScannedEntry): void => {
    hash.update(`${entryKey(entry)}\n`)
    count += 1
    if (entry.stat.kind === 'directory') addDirectory(`${path}/${entry.path}`, entry.stat.inode)
  }
  try {
    using root = owned(openDirectory(path, true))
    addDirectory(path, statFd(root.fd).inode)
    for (const entry of scanTree(root.fd)) {
      add(entry)
      if (count % ENTRIES_AT_ONCE !== 0) continue
      costMs += performance.now() - resumed
      await yieldToLoop()
      resumed = performance.now()
    }
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR'))
      return { fingerprint: null, directories: [], costMs }
    hash.update(describeError(error))
    count += 1
  }
  costMs += performance.now() - resumed
  return { fingerprint: count === 0 ? null : hash.digest('hex'), directories, costMs }
}
