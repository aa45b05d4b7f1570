import { fchmodSync } from 'node:fs'
import { hasCode } from '../core/errors.ts'
import { copyAndHash } from './copy-file.ts'
import { DirectoryCursor } from './directory-cursor.ts'
import {
  CREATE_FILE,
  makeDirectory,
  makeSymlink,
  openBeneath,
  owned,
  READ_FILE,
  readSymlink,
  statFd,
} from './file-calls.ts'
import { fileMode, type Manifest, type ManifestEntry, type ManifestFile } from './manifest.ts'
import { entryKey, type ScannedEntry, unreadable } from './scan-tree.ts'
import { countProgress, type Progress, type ProgressCounter } from './progress.ts'
import type { Rights } from './uploader.ts'

export interface TreeCopy {
  readonly sourceFd: number
  /** Empty, and nobody else's to write. */
  readonly treeFd: number
  readonly rights: Rights
  readonly report: (progress: Progress) => void
}

/** `changed` is a path that is not what the scan saw. */
export type CopyOutcome =
  | { readonly changed: string }
  | { readonly changed: null; readonly manifest: Manifest }

/** Copies what a scan found, and stops at the first thing that is not as the scan found it. */
export function copyTree(copy: TreeCopy, entries: readonly ScannedEntry[]): CopyOutcome {
  using sources = new DirectoryCursor(copy.sourceFd)
  using targets = new DirectoryCursor(copy.treeFd)
  const progress = countProgress(
    entries.filter(isFile).map(({ stat }) => stat),
    copy.report,
  )
  const manifest: ManifestEntry[] = []
  for (const entry of entries) {
    const copied = unlessGone(() => copyEntry(entry, { sources, targets, rights: copy.rights, progress }))
    if (copied === null) return { changed: entry.path }
    manifest.push(copied)
  }
  return { changed: null, manifest }
}

const isFile = ({ stat }: ScannedEntry): boolean => stat.kind === 'file'

interface Copying {
  readonly sources: DirectoryCursor
  readonly targets: DirectoryCursor
  readonly rights: Rights
  readonly progress: ProgressCounter
}

function copyEntry(entry: ScannedEntry, copying: Copying): ManifestEntry | null {
  const { path, name } = entry
  switch (entry.stat.kind) {
    case 'directory':
      makeDirectory(copying.targets.parentOf(path), name, 0o755)
      return { kind: 'directory', path }
    case 'symlink': {
      const target = copying.rights.asUploader(() => readSymlink(copying.sources.parentOf(path), name))
      makeSymlink(target.toString(), copying.targets.parentOf(path), name)
      return { kind: 'symlink', path, target: target.toString() }
    }
    case 'file':
      return copyFile(entry, copying)
    case 'fifo':
    case 'socket':
    case 'device':
      throw new Error(`"${path}" should have been refused: ${entry.stat.kind}`)
    default:
      return entry.stat.kind satisfies never
  }
}

/** null if the file is not what the scan saw. */
function copyFile(entry: ScannedEntry, { sources, targets, rights, progress }: Copying): ManifestFile | null {
  using from = owned(openSource(entry, sources, rights))
  awaitOlderThanATick(entry.stat.changedMs)
  if (entryKey({ ...entry, stat: statFd(from.fd) }) !== entryKey(entry)) return null
  using to = owned(openBeneath(targets.parentOf(entry.path), entry.name, CREATE_FILE, 0o600))
  const expectedSize = entry.stat.size
  const { bytes, sha256 } = copyAndHash(from.fd, to.fd, { expectedSize, onBytes: progress.bytesDone })
  if (bytes !== expectedSize) return null
  const executable = (entry.stat.mode & 0o111) !== 0
  const file: ManifestFile = { kind: 'file', path: entry.path, executable, size: bytes, sha256 }
  fchmodSync(to.fd, fileMode(file))
  progress.fileDone()
  return file
}

function openSource(entry: ScannedEntry, sources: DirectoryCursor, rights: Rights): number {
  try {
    return rights.asUploader(() => openBeneath(sources.parentOf(entry.path), entry.name, READ_FILE))
  } catch (error) {
    if (hasCode(error, 'EACCES') || hasCode(error, 'EPERM')) throw unreadable(entry.path, error)
    throw error
  }
}

/** The coarsest tick that Linux takes file times from is 10 ms (CONFIG_HZ=100). */
const TICK_MS = 20

/**
 * Two writes within one tick leave the same time. A file that was written this very moment is read only when a later
 * write would show.
 */
function awaitOlderThanATick(changedMs: number): void {
  const wait = changedMs + TICK_MS - Date.now()
  if (wait > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.min(wait, TICK_MS))
}

/** Something else has the name now, or nothing. */
function unlessGone<T>(copy: () => T | null): T | null {
  try {
    return copy()
  } catch (error) {
    if (
      ['ENOENT', 'ELOOP', 'ENOTDIR', 'EXDEV', 'EINVAL', 'ENXIO', 'ESTALE'].some((code) =>
        hasCode(error, code),
      )
    ) {
      return null
    }
    throw error
  }
}
