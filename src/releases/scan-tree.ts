import { closeSync } from 'node:fs'
import { DorcError, hasCode } from '../core/errors.ts'
import { namesIn, openBeneath, READ_DIRECTORY, type Stat, statAt, statFd } from './file-calls.ts'

/** One thing in a tree, as it was when it was looked at. */
export interface ScannedEntry {
  /** Relative to the root of the tree; for messages only where `isUtf8` is false. */
  readonly path: string
  readonly name: string
  readonly isUtf8: boolean
  /** Number of directories above it, the root included. */
  readonly depth: number
  readonly stat: Stat
}

export interface ScanLimits {
  readonly maxEntries: number
  readonly maxDepth: number
  readonly maxPathBytes: number
}

export const SCAN_LIMITS: ScanLimits = { maxEntries: 100_000, maxDepth: 64, maxPathBytes: 4096 }

/**
 * Everything below an open directory, each directory before what is in it, names in the order of their bytes; may be
 * left off at any entry. What vanishes meanwhile is left out. Throws RELEASE_INVALID beyond a limit and for a mount
 * point, SystemCallError for what cannot be read.
 */
export function* scanTree(rootFd: number, limits: ScanLimits = SCAN_LIMITS): Generator<ScannedEntry, void> {
  let count = 0
  for (const entry of scanDirectory(rootFd, '', 0, limits)) {
    count += 1
    if (count > limits.maxEntries) {
      throw new DorcError('RELEASE_INVALID', `The upload has more than ${limits.maxEntries} files`, {
        hint: 'Upload only what the app needs to run, or pack it into fewer files',
      })
    }
    yield entry
  }
}

function* scanDirectory(
  dirFd: number,
  prefix: string,
  depth: number,
  limits: ScanLimits,
): Generator<ScannedEntry, void> {
  const names = namesIn(dirFd).sort((a, b) => a.bytes.compare(b.bytes))
  for (const { bytes, text: name, isUtf8 } of names) {
    const path = prefix + name
    checkReach(path, depth, limits)
    const entry = { path, name, isUtf8, depth }
    const stat = unlessVanished(() => statAt(dirFd, bytes))
    if (stat === null) continue
    if (stat.kind !== 'directory') {
      yield { ...entry, stat }
      continue
    }
    const childFd = unlessVanished(() => openChild(dirFd, bytes, path))
    if (childFd === null) continue
    try {
      yield { ...entry, stat: statFd(childFd) }
      yield* scanDirectory(childFd, `${path}/`, depth + 1, limits)
    } finally {
      closeSync(childFd)
    }
  }
}

function checkReach(path: string, depth: number, limits: ScanLimits): void {
  if (depth >= limits.maxDepth) {
    throw new DorcError('RELEASE_INVALID', `"${path}" lies deeper than ${limits.maxDepth} directories`, {
      hint: 'Upload a flatter tree',
    })
  }
  if (Buffer.byteLength(path) > limits.maxPathBytes) {
    throw new DorcError('RELEASE_INVALID', `A path is longer than ${limits.maxPathBytes} bytes: "${path}"`, {
      hint: 'Shorten the names of its directories',
    })
  }
}

function openChild(dirFd: number, name: Buffer, path: string): number {
  try {
    return openBeneath(dirFd, name, READ_DIRECTORY)
  } catch (error) {
    if (hasCode(error, 'EXDEV')) {
      throw new DorcError('RELEASE_INVALID', `Another file system is mounted on "${path}"`, {
        cause: error,
        hint: 'Unmount it, or copy its files into the upload directory',
      })
    }
    if (hasCode(error, 'EACCES')) throw unreadable(path, error)
    throw error
  }
}

/** What an upload's owner may not read is not his to deploy, whatever we could read ourselves. */
export function unreadable(path: string, cause: unknown): DorcError {
  return new DorcError('RELEASE_INVALID', `The uploader may not read "${path}"`, {
    cause,
    hint: 'Give it to the owner of the upload directory (chown), or make it readable (chmod a+r, and a+rx for directories)',
  })
}

/** ENOTDIR and ELOOP: something else has the name since it was looked at. */
function unlessVanished<T>(look: () => T): T | null {
  try {
    return look()
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ESTALE'].some((code) => hasCode(error, code))) return null
    throw error
  }
}

/**
 * Changes whenever the entry does: its name, kind, rights, size, times or the file behind the name. Without the device,
 * since it is compared across boots, too.
 */
export function entryKey({ path, stat }: ScannedEntry): string {
  const size = stat.kind === 'directory' ? 0 : stat.size
  return `${path}\0${stat.kind} ${stat.mode} ${size} ${stat.inode} ${stat.modified} ${stat.changed}`
}
