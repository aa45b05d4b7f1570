import { randomBytes } from 'node:crypto'
import { hasCode } from '../core/errors.ts'
import { inDirectory, type Name, namesIn, removeEmptyDirectory, renameAt, unlinkFile } from './file-calls.ts'

/** How often names that appear while a directory is emptied are removed, too. */
const ROUNDS = 5

/** Deeper directories are moved up before they are emptied: each level costs an open fd and a stack frame. */
const DEEPEST = 100

/**
 * Removes a name and, if it is a directory, everything below it. Follows nothing: symbolic links go, their targets
 * stay, and a mount point is EXDEV. What is gone already is fine.
 */
export function removeTree(dirFd: number, name: Name): void {
  removeBelow({ dirFd, name, topFd: null, depth: 0 })
}

interface Doomed {
  readonly dirFd: number
  readonly name: Name
  /** The directory below `removeTree`'s own that all of it lies in. */
  readonly topFd: number | null
  readonly depth: number
}

function removeBelow(doomed: Doomed): void {
  for (let round = 1; ; round += 1) {
    try {
      removeOnce(doomed)
      return
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return
      if (!hasCode(error, 'ENOTEMPTY') || round === ROUNDS) throw error
    }
  }
}

function removeOnce({ dirFd, name, topFd, depth }: Doomed): void {
  try {
    unlinkFile(dirFd, name)
    return
  } catch (error) {
    // EISDIR on Linux; POSIX has EPERM for it.
    if (!hasCode(error, 'EISDIR') && !hasCode(error, 'EPERM')) throw error
  }
  if (topFd !== null && depth > DEEPEST) {
    renameAt(dirFd, name, topFd, randomBytes(16).toString('hex'))
    return
  }
  inDirectory(dirFd, name, (childFd) => {
    const top = topFd ?? childFd
    // Once for most directories; again for what was moved up, and that is less every time.
    for (let names = namesIn(childFd); names.length > 0; names = topFd === null ? namesIn(childFd) : []) {
      for (const { bytes } of names)
        removeBelow({ dirFd: childFd, name: bytes, topFd: top, depth: depth + 1 })
    }
  })
  removeEmptyDirectory(dirFd, name)
}
