import { hasCode } from '../core/errors.ts'
import { inDirectory, type Name, namesIn, removeEmptyDirectory, unlinkFile } from './file-calls.ts'

/** How often names that appear while a directory is emptied are removed, too. */
const ROUNDS = 5

/**
 * Removes a name and, if it is a directory, everything below it. Follows nothing: symbolic links go, their targets
 * stay, and a mount point is EXDEV. What is gone already is fine.
 */
export function removeTree(dirFd: number, name: Name): void {
  for (let round = 1; ; round += 1) {
    try {
      removeOnce(dirFd, name)
      return
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return
      if (!hasCode(error, 'ENOTEMPTY') || round === ROUNDS) throw error
    }
  }
}

function removeOnce(dirFd: number, name: Name): void {
  try {
    unlinkFile(dirFd, name)
    return
  } catch (error) {
    // EISDIR on Linux; POSIX has EPERM for it.
    if (!hasCode(error, 'EISDIR') && !hasCode(error, 'EPERM')) throw error
  }
  inDirectory(dirFd, name, (childFd) => {
    for (const { bytes } of namesIn(childFd)) removeTree(childFd, bytes)
  })
  removeEmptyDirectory(dirFd, name)
}
