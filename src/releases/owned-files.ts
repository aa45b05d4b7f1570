import { join } from 'node:path'
import type { Slot } from '../core/app.ts'
import { hasCode } from '../core/errors.ts'
import { readFileIn } from './atomic-file.ts'
import { baseName, DirectoryCursor } from './directory-cursor.ts'
import { removeEmptyDirectory, unlinkFile } from './file-calls.ts'
import { type Manifest, type ManifestEntry, parseManifest } from './manifest.ts'
import { ownedName } from './slot-layout.ts'

/** What dorc put into the slot, whole or in part. Throws STATE_CORRUPT. */
export function readOwned(recordsFd: number, slot: Slot, recordsPath: string): Manifest {
  const text = readFileIn(recordsFd, ownedName(slot))
  return text === null ? [] : parseManifest(text, join(recordsPath, ownedName(slot)))
}

/** Removes these files, and those of these directories that are empty then. Follows nothing. */
export function removeOwned(slotFd: number, entries: Manifest): void {
  using cursor = new DirectoryCursor(slotFd)
  // Deepest first: a directory comes after what is in it.
  for (const entry of [...entries].sort((a, b) => (a.path < b.path ? 1 : -1))) {
    try {
      removeEntry(cursor, entry)
    } catch (error) {
      if (!STAYS.some((code) => hasCode(error, code))) throw error
    }
  }
}

/** Gone already; or the app put something of its own in its place or into it, and that stays. */
const STAYS = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENOTEMPTY', 'EISDIR', 'EXDEV', 'EBUSY']

function removeEntry(cursor: DirectoryCursor, { kind, path }: ManifestEntry): void {
  const parentFd = cursor.parentOf(path)
  if (kind === 'directory') removeEmptyDirectory(parentFd, baseName(path))
  else unlinkFile(parentFd, baseName(path))
}
