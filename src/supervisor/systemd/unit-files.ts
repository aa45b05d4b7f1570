import { createHash } from 'node:crypto'
import { lstat, mkdir, open, readdir, readFile, rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DorcError, hasCode } from '../../core/errors.ts'

/**
 * Unit files that dorc writes. The first line holds the hash of the rest, so that a file that somebody changed, or
 * that was never dorc's, is known and left alone.
 */
export class UnitFiles {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  path(name: string): string {
    return join(this.#directory, name)
  }

  /**
   * Replaces the file in one step that survives a loss of power. `name` may be in a directory of drop-ins. Returns
   * false if it is like that already. Throws SUPERVISOR_FAILED if the file there is not as dorc wrote it.
   */
  async write(name: string, text: string): Promise<boolean> {
    const path = this.path(name)
    const present = await this.#readOurs(path)
    if (present === stamped(text)) return false
    await mkdir(dirname(path), { recursive: true, mode: 0o755 })
    const next = `${path}.dorc-new`
    const file = await open(next, 'w', 0o644)
    try {
      await file.writeFile(stamped(text))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(next, path)
    await syncDirectory(dirname(path))
    return true
  }

  /** Throws SUPERVISOR_FAILED if the file there is not as dorc wrote it, and could not be written over. */
  async refuseForeign(name: string): Promise<void> {
    await this.#readOurs(this.path(name))
  }

  /** With the directory of drop-ins, once it is empty. Returns false if there is no such file. Throws SUPERVISOR_FAILED if it is not as dorc wrote it. */
  async remove(name: string): Promise<boolean> {
    const path = this.path(name)
    if ((await this.#readOurs(path)) === null) return false
    await rm(path)
    await syncDirectory(dirname(path))
    if (dirname(path) !== this.#directory) await removeIfEmpty(dirname(path))
    return true
  }

  /** Names of the files in a directory here, dorc's or not; none if there is no such directory. */
  async list(directory = '.'): Promise<string[]> {
    try {
      return await readdir(join(this.#directory, directory))
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return []
      throw error
    }
  }

  /** Those of the files that dorc wrote, changed since or not. */
  async ours(names: readonly string[]): Promise<string[]> {
    const texts = await Promise.all(names.map((name) => readFile(this.path(name), 'utf8')))
    return names.filter((_, index) => texts[index]?.startsWith(STAMP) === true)
  }

  async #readOurs(path: string): Promise<string | null> {
    try {
      const stat = await lstat(path)
      if (stat.isSymbolicLink()) throw await linkError(path)
      const text = await readFile(path, 'utf8')
      if (!isStamped(text)) throw editedError(path, text.startsWith(STAMP))
      return text
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return null
      throw error
    }
  }
}

const STAMP = '# dorc generated, sha256='

export function stamped(text: string): string {
  return `${STAMP}${createHash('sha256').update(text).digest('hex')}\n${text}`
}

/** True if this is a text that `stamped` made, unchanged. */
export function isStamped(text: string): boolean {
  return stamped(text.slice(text.indexOf('\n') + 1)) === text
}

async function linkError(path: string): Promise<DorcError> {
  const unit = path.slice(path.lastIndexOf('/') + 1)
  const isMasked = await readFile(path, 'utf8').then(
    (text) => text === '',
    () => false,
  )
  return isMasked
    ? new DorcError('SUPERVISOR_FAILED', `Unit "${unit}" is masked`, {
        hint: `Run: systemctl unmask ${unit}`,
      })
    : new DorcError('SUPERVISOR_FAILED', `Unit file "${path}" is a link that dorc did not make`, {
        hint: `Look where it leads, then run: rm ${path}`,
      })
}

function editedError(path: string, wasOurs: boolean): DorcError {
  const unit = path.slice(path.lastIndexOf('/') + 1)
  return wasOurs
    ? new DorcError(
        'SUPERVISOR_FAILED',
        `Unit file "${path}" was changed by hand; dorc does not overwrite it`,
        {
          hint: `Keep your changes with "systemctl edit ${unit}", then run: rm ${path}`,
        },
      )
    : new DorcError('SUPERVISOR_FAILED', `Unit file "${path}" is not dorc's; dorc does not overwrite it`, {
        hint: 'Give the app another name, or remove that unit',
      })
}

async function removeIfEmpty(directory: string): Promise<void> {
  try {
    await rmdir(directory)
  } catch (error) {
    if (!hasCode(error, 'ENOTEMPTY')) throw error
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
