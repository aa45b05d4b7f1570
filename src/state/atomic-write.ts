import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fsync,
  openSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { DorcError, hasCode } from '../core/errors.ts'

/** The one thing that waits for the disk; all else is done in memory, and a turn through the thread pool costs a switch more than it. */
const synced = promisify(fsync)

/**
 * Writes a whole file so that after any crash, of the process or the host, the path holds either what it held
 * before or all of `text`: a new file is made durable first, then it takes the name, then the name is made durable.
 * `mode` is set as it is, whatever the umask. Throws DISK_FULL or STATE_NOT_SAVED and leaves no other file behind; the
 * path then holds the old text, or the new one if only its directory could not be made durable.
 */
export async function writeFileAtomic(path: string, text: string, mode: number): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`)
  try {
    const fd = openSync(
      temporary,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      mode,
    )
    try {
      writeFileSync(fd, text)
      fchmodSync(fd, mode)
      await synced(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, path)
    await syncDirectory(dirname(path))
  } catch (error) {
    removeIfThere(temporary)
    throw notSaved(path, error)
  }
}

/** As far as it goes: what matters is told by the failure that made this needed. */
function removeIfThere(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {
    // On a file system that became read-only, say. The next start sweeps it up.
  }
}

/** Removes a file durably; one that is not there is removed already. Throws STATE_NOT_SAVED. */
export async function removeFileDurably(path: string): Promise<void> {
  try {
    unlinkSync(path)
    await syncDirectory(dirname(path))
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw notSaved(path, error)
  }
}

/** A new name is durable only after fsync of its directory (fsync(2)). */
async function syncDirectory(path: string): Promise<void> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await synced(fd)
  } finally {
    closeSync(fd)
  }
}

function notSaved(path: string, cause: unknown): DorcError {
  if (hasCode(cause, 'ENOSPC') || hasCode(cause, 'EDQUOT')) {
    return new DorcError('DISK_FULL', `Cannot write "${path}": the disk is full`, {
      cause,
      hint: 'Free some space: df -h; df -i',
    })
  }
  return new DorcError('STATE_NOT_SAVED', `Cannot write "${path}"`, {
    cause,
    hint: 'Look at the disk: dmesg, df -h, mount',
  })
}
