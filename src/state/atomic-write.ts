import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DorcError, hasCode } from '../core/errors.ts'

/**
 * Writes a whole file so that after any crash, of the process or the host, the path holds either what it held
 * before or all of `text`: a new file is made durable first, then it takes the name, then the name is made durable.
 * `mode` is set as it is, whatever the umask. Throws DISK_FULL or STATE_NOT_SAVED and leaves no other file behind; the
 * path then holds the old text, or the new one if only its directory could not be made durable.
 */
export async function writeFileAtomic(path: string, text: string, mode: number): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`)
  try {
    const file = await open(
      temporary,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      mode,
    )
    try {
      await file.writeFile(text)
      await file.chmod(mode)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await syncDirectory(dirname(path))
  } catch (error) {
    // Best effort: it may never have been made, or be renamed already; what matters is told by `error`.
    await unlink(temporary).catch(() => undefined)
    throw notSaved(path, error)
  }
}

/** Removes a file durably; one that is not there is removed already. Throws STATE_NOT_SAVED. */
export async function removeFileDurably(path: string): Promise<void> {
  try {
    await unlink(path)
    await syncDirectory(dirname(path))
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw notSaved(path, error)
  }
}

/** A new name is durable only after fsync of its directory (fsync(2)). */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await directory.sync()
  } finally {
    await directory.close()
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
