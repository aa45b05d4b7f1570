import { closeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Slot } from '../core/app.ts'
import { hasCode } from '../core/errors.ts'
import { removeFileIn } from './atomic-file.ts'
import { baseName } from './directory-cursor.ts'
import { openDirectory, owned } from './file-calls.ts'
import { readOwned, removeOwned } from './owned-files.ts'
import { removeTree } from './remove-tree.ts'
import { ownedName, recordName, STAGING_NAME } from './slot-layout.ts'
import { lockDirectory } from './store-layout.ts'
import { checkWorkingDir, isBelow, openExisting } from './working-dir.ts'

export interface UninstallJob {
  readonly slot: Slot
  readonly slotsPath: string
  readonly recordsPath: string
  readonly workingDir: string
  /** Take away what the app made, too; only done below `slotsPath`, never in a directory of the user's choice. */
  readonly purge: boolean
}

/** Takes a slot's files away, and with them the record that they are there. Fine to run again, and with nothing there. */
export async function uninstall(job: UninstallJob): Promise<void> {
  checkWorkingDir(job.workingDir)
  using records = owned(await lockDirectory(job.recordsPath, 0o755))
  removeFileIn(records.fd, recordName(job.slot))
  if (job.purge && isBelow(job.workingDir, job.slotsPath)) purge(job.workingDir)
  else removeFiles(job, records.fd)
  removeFileIn(records.fd, ownedName(job.slot))
}

function removeFiles(job: UninstallJob, recordsFd: number): void {
  const slotFd = unlessMissing(() => openExisting(job.workingDir))
  if (slotFd === null) return
  try {
    removeTree(slotFd, STAGING_NAME)
    removeOwned(slotFd, readOwned(recordsFd, job.slot, job.recordsPath))
  } finally {
    closeSync(slotFd)
  }
}

function purge(workingDir: string): void {
  const parentFd = unlessMissing(() => openDirectory(dirname(workingDir), true))
  if (parentFd === null) return
  try {
    removeTree(parentFd, baseName(workingDir))
  } finally {
    closeSync(parentFd)
  }
}

function unlessMissing(open: () => number): number | null {
  try {
    return open()
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].some((code) => hasCode(error, code))) return null
    throw error
  }
}
