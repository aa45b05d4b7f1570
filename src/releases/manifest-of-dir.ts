import { checkSymlinks } from './check-manifest.ts'
import { checkTree } from './check-tree.ts'
import { hashFile } from './copy-file.ts'
import { baseName, DirectoryCursor } from './directory-cursor.ts'
import { openBeneath, openDirectory, owned, READ_FILE, readSymlink } from './file-calls.ts'
import type { Manifest, ManifestEntry } from './manifest.ts'
import { type ScannedEntry, scanTree } from './scan-tree.ts'
import { formatSigned, SIGNATURE_FILE, SIGNED_FILE, type Signed } from './signed-text.ts'

export interface ManifestJob extends Signed {
  /** Absolute. */
  readonly dir: string
}

/** The text to be signed for what lies in a directory, as it would be taken in. Throws RELEASE_INVALID. */
export function signedTextOf({ dir, ...signed }: ManifestJob): string {
  using root = owned(openDirectory(dir, true))
  const isSignature = ({ path }: ScannedEntry): boolean => path === SIGNED_FILE || path === SIGNATURE_FILE
  const entries = [...scanTree(root.fd)].filter((entry) => !isSignature(entry))
  checkTree(entries, process.geteuid?.() ?? 0)
  using cursor = new DirectoryCursor(root.fd)
  const manifest: Manifest = entries.map((entry) => manifestEntryOf(cursor, entry))
  checkSymlinks(manifest)
  return formatSigned(signed, manifest)
}

function manifestEntryOf(cursor: DirectoryCursor, { path, stat }: ScannedEntry): ManifestEntry {
  const parentFd = cursor.parentOf(path)
  if (stat.kind === 'directory') return { kind: 'directory', path }
  if (stat.kind === 'symlink')
    return { kind: 'symlink', path, target: readSymlink(parentFd, baseName(path)).toString() }
  using file = owned(openBeneath(parentFd, baseName(path), READ_FILE))
  const { sha256 } = hashFile(file.fd, { expectedSize: stat.size, onBytes: () => undefined })
  return { kind: 'file', path, executable: (stat.mode & 0o111) !== 0, size: stat.size, sha256 }
}
