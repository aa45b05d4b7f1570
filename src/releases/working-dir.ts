import { constants } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { DorcError, hasCode } from '../core/errors.ts'
import { makeDirectory, openDirectory, owned, READ_DIRECTORY } from './file-calls.ts'
import { baseName } from './directory-cursor.ts'

/** Places that no app can have as its working directory, and everything in them. */
const KERNEL_TREES = ['dev', 'proc', 'sys']

/**
 * Opens a slot's working directory, making it if need be: its parents only below `slotsPath`. It may be a mount point,
 * but not a symbolic link. The caller closes it. Throws PATH_INVALID.
 */
export function openWorkingDir(path: string, slotsPath: string): number {
  checkWorkingDir(path)
  try {
    return openExisting(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw notADirectory(path, error)
  }
  const below = isBelow(path, slotsPath) ? relative(slotsPath, path).split('/') : [baseName(path)]
  let parentPath = isBelow(path, slotsPath) ? slotsPath : dirname(path)
  for (const name of below) {
    makeOne(parentPath, name, path)
    parentPath = join(parentPath, name)
  }
  return openExisting(path)
}

export const isBelow = (path: string, ancestor: string): boolean =>
  normalize(path).startsWith(`${normalize(ancestor)}/`)

/** O_NOFOLLOW: the last name; those before it are root's affair. */
export const openExisting = (path: string): number =>
  openDirectory(path, true, READ_DIRECTORY | constants.O_NOFOLLOW)

export function checkWorkingDir(path: string): void {
  const parts = path.split('/').slice(1)
  const isPlain = path.startsWith('/') && normalize(path) === path && !path.endsWith('/')
  if (isPlain && parts.length > 1 && !KERNEL_TREES.includes(parts[0] ?? '')) return
  throw new DorcError('PATH_INVALID', `"${path}" cannot be a working directory`, {
    hint: 'Give an absolute path of two names or more, such as /srv/APP/blue',
  })
}

function makeOne(parentPath: string, name: string, path: string): void {
  try {
    using parent = owned(openDirectory(parentPath, true))
    makeDirectory(parent.fd, name, 0o755)
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return
    if (!hasCode(error, 'ENOENT') && !hasCode(error, 'ENOTDIR')) throw error
    throw new DorcError('PATH_INVALID', `Cannot make "${path}": there is no directory "${parentPath}"`, {
      cause: error,
      hint: `Run: mkdir -p ${parentPath}`,
    })
  }
}

function notADirectory(path: string, cause: unknown): unknown {
  if (!hasCode(cause, 'ENOTDIR') && !hasCode(cause, 'ELOOP')) return cause
  return new DorcError('PATH_INVALID', `The working directory "${path}" is not a directory`, {
    cause,
    hint: 'It may not be a symbolic link: give the path that it leads to',
  })
}
