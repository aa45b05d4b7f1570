import { hasCode } from '../core/errors.ts'
import { hashFile } from './copy-file.ts'
import { baseName, DirectoryCursor } from './directory-cursor.ts'
import { openBeneath, READ_FILE, readSymlink, type Stat, statAt, statFd, owned } from './file-calls.ts'
import { fileMode, type Manifest, type ManifestEntry, type ManifestFile } from './manifest.ts'
import { scanTree } from './scan-tree.ts'

/** A path that is not as the manifest has it, and how it differs, for people. */
export interface Deviation {
  readonly path: string
  readonly problem: string
}

export interface TreeRule {
  /** Also what the manifest does not have deviates: so in the store; in a slot the app may have files of its own. */
  readonly nothingElse: boolean
}

/** What of a tree is not as its manifest has it, in the manifest's order. Reads every file. Throws SystemCallError. */
export function verifyTree(rootFd: number, manifest: Manifest, { nothingElse }: TreeRule): Deviation[] {
  using cursor = new DirectoryCursor(rootFd)
  const deviations = manifest.flatMap((entry) => {
    const problem = problemOf(cursor, entry)
    return problem === null ? [] : [{ path: entry.path, problem }]
  })
  return nothingElse ? [...deviations, ...unexpected(rootFd, manifest)] : deviations
}

function problemOf(cursor: DirectoryCursor, entry: ManifestEntry): string | null {
  try {
    const parentFd = cursor.parentOf(entry.path)
    const name = baseName(entry.path)
    const { kind } = statAt(parentFd, name)
    if (kind !== entry.kind) return `is a ${kind}, not a ${entry.kind}`
    if (entry.kind === 'directory') return null
    if (entry.kind === 'file') return fileProblem(parentFd, name, entry)
    const target = readSymlink(parentFd, name).toString()
    return target === entry.target
      ? null
      : `leads to ${JSON.stringify(target)}, not ${JSON.stringify(entry.target)}`
  } catch (error) {
    // ELOOP, ENOTDIR: a directory above it is something else now.
    if (['ENOENT', 'ELOOP', 'ENOTDIR'].some((code) => hasCode(error, code))) return 'is missing'
    if (hasCode(error, 'EIO')) return 'cannot be read (EIO)'
    throw error
  }
}

function fileProblem(parentFd: number, name: string, file: ManifestFile): string | null {
  using present = owned(openBeneath(parentFd, name, READ_FILE))
  const stat = statFd(present.fd)
  return attributeProblem(stat, file) ?? contentProblem(present.fd, file)
}

function attributeProblem({ uid, mode, links, size }: Stat, file: ManifestFile): string | null {
  if (size !== file.size) return `has ${size} bytes, not ${file.size}`
  if (mode !== fileMode(file)) return `has mode ${mode.toString(8)}, not ${fileMode(file).toString(8)}`
  if (uid !== process.geteuid?.()) return `belongs to user ${uid}`
  return links === 1 ? null : `has ${links} names`
}

function contentProblem(fd: number, { size, sha256 }: ManifestFile): string | null {
  const present = hashFile(fd, { expectedSize: size, onBytes: () => undefined }).sha256
  return present === sha256
    ? null
    : `has other content (sha256 ${present.slice(0, 12)}…, not ${sha256.slice(0, 12)}…)`
}

function unexpected(rootFd: number, manifest: Manifest): Deviation[] {
  const known = new Set(manifest.map(({ path }) => path))
  return [...scanTree(rootFd)]
    .filter(({ path }) => !known.has(path))
    .map(({ path }) => ({ path, problem: 'is not part of the release' }))
}
