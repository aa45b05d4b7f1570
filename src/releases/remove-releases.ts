import { randomBytes } from 'node:crypto'
import { fsyncSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { ReleaseNumber } from '../core/app.ts'
import { hasCode } from '../core/errors.ts'
import { namesIn, openDirectory, owned, renameAt } from './file-calls.ts'
import { removeTree } from './remove-tree.ts'
import { isLeftover, lockDirectory, TRASH_PREFIX } from './store-layout.ts'

/** Each release is out of sight by one rename before its files go: a crash leaves no half of one. */
export async function removeReleases(appPath: string, numbers: readonly ReleaseNumber[]): Promise<void> {
  using app = owned(await lockDirectory(appPath, 0o700))
  for (const number of numbers) {
    const trash = `${TRASH_PREFIX}${randomBytes(8).toString('hex')}`
    try {
      renameAt(app.fd, String(number), app.fd, trash)
    } catch (error) {
      if (hasCode(error, 'ENOENT')) continue
      throw error
    }
    fsyncSync(app.fd)
    removeTree(app.fd, trash)
  }
}

/** All that the store has of an app, the numbers that it gave included. */
export async function removeAppReleases(appPath: string): Promise<void> {
  using app = owned(await lockDirectory(appPath, 0o700))
  for (const { bytes } of namesIn(app.fd)) removeTree(app.fd, bytes)
  using parent = owned(openDirectory(dirname(appPath), true))
  removeTree(parent.fd, basename(appPath))
  fsyncSync(parent.fd)
}

/** What an interrupted take-in or removal left behind. */
export async function cleanLeftovers(appPath: string): Promise<void> {
  using app = owned(await lockDirectory(appPath, 0o700))
  removeLeftovers(app.fd)
}

/** `appFd` is locked, so nobody is at work on them. */
export function removeLeftovers(appFd: number): void {
  for (const { text, bytes } of namesIn(appFd)) {
    if (isLeftover(text)) removeTree(appFd, bytes)
  }
}
