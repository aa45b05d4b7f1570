import { closeSync } from 'node:fs'
import { DorcError, hasCode } from '../core/errors.ts'
import { O_PATH, openBeneath, openDirectory, READ_DIRECTORY, statFd } from './file-calls.ts'
import { unreadable } from './scan-tree.ts'
import { type Rights, rightsOf, type Uploader, uploaderWithUid } from './uploader.ts'

/** An opened upload, and the rights that it is read with. */
export interface UploadSource {
  readonly fd: number
  readonly rights: Rights
  readonly ownerUid: number
}

/**
 * Opens an upload; the caller closes `fd`. `uploader` null: the directory's owner, and then no part of the path may be
 * a symbolic link. Throws UPLOAD_MISSING, RELEASE_INVALID or PATH_INVALID.
 */
export function openUpload(sourcePath: string, uploader: Uploader | null): UploadSource {
  try {
    return uploader === null ? openOwnersDirectory(sourcePath) : openAs(sourcePath, uploader)
  } catch (error) {
    if (hasCode(error, 'ENOTDIR')) throw notADirectory(sourcePath)
    if (hasCode(error, 'ENOENT')) throw uploadMissing(sourcePath)
    if (hasCode(error, 'EACCES')) throw unreadable(sourcePath, error)
    if (!hasCode(error, 'ELOOP')) throw error
    throw new DorcError('PATH_INVALID', `"${sourcePath}" has a symbolic link in it`, {
      cause: error,
      hint: 'Give the path without symbolic links as upload_dir (see: realpath)',
    })
  }
}

export function uploadMissing(path: string): DorcError {
  return new DorcError('UPLOAD_MISSING', `There is no directory "${path}"`, {
    hint: `Look at the path, or make the directory and upload into it`,
  })
}

function notADirectory(path: string): DorcError {
  return new DorcError('UPLOAD_MISSING', `"${path}" is not a directory`, {
    hint: 'A release is a directory: give the one that holds what the app needs',
  })
}

function openAs(path: string, uploader: Uploader): UploadSource {
  const rights = rightsOf(uploader)
  const fd = rights.asUploader(() => openDirectory(path, true))
  return { fd, rights, ownerUid: uploader.uid }
}

/** A link in the path could lead to the directory of somebody else, who would then count as the uploader. */
function openOwnersDirectory(path: string): UploadSource {
  const pathFd = openDirectory(path, false, O_PATH)
  try {
    const { uid } = statFd(pathFd)
    const rights = rightsOf(uploaderWithUid(uid))
    const fd = rights.asUploader(() => openBeneath(pathFd, '.', READ_DIRECTORY))
    return { fd, rights, ownerUid: uid }
  } finally {
    closeSync(pathFd)
  }
}
