import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ReleaseNumber } from '../core/app.ts'
import { describeError, DorcError, hasCode } from '../core/errors.ts'
import { baseName, type DirectoryCursor } from './directory-cursor.ts'
import { openBeneath, openDirectory, owned, READ_FILE } from './file-calls.ts'
import { digestOf, type Manifest, type ManifestFile, parseManifest } from './manifest.ts'
import {
  MANIFEST_FILE,
  parseRelease,
  RECORD_FILE,
  type Release,
  releasePath,
  TREE_DIRECTORY,
} from './store-layout.ts'
import { type Deviation, verifyTree } from './verify-tree.ts'
import { openExisting } from './working-dir.ts'

/** A release's record and manifest, checked against its digest. RELEASE_UNKNOWN, STATE_CORRUPT. */
export function readRelease(
  appPath: string,
  number: ReleaseNumber,
): { release: Release; manifest: Manifest } {
  const path = releasePath(appPath, number)
  const release = parseRelease(readPart(path, RECORD_FILE, number), join(path, RECORD_FILE))
  const text = readPart(path, MANIFEST_FILE, number)
  if (digestOf(text) !== release.digest) throw damaged(number, MANIFEST_FILE)
  return { release, manifest: parseManifest(text, join(path, MANIFEST_FILE)) }
}

function readPart(path: string, name: string, number: ReleaseNumber): string {
  try {
    return readFileSync(join(path, name), 'utf8')
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    throw new DorcError('RELEASE_UNKNOWN', `There is no release ${number}`, {
      cause: error,
      hint: 'See what there is: dorc releases APP',
    })
  }
}

export const openReleaseTree = (appPath: string, number: ReleaseNumber): number =>
  openDirectory(join(releasePath(appPath, number), TREE_DIRECTORY), true)

/** What reading a release again found. */
export interface Verification {
  readonly release: ReleaseNumber
  readonly files: number
  readonly bytes: number
  /** Empty: it is what was taken in. */
  readonly deviations: readonly Deviation[]
}

/** Reads a release's record, manifest and files again. Throws RELEASE_UNKNOWN. */
export function verifyRelease(appPath: string, number: ReleaseNumber): Verification {
  const nothing = { release: number, files: 0, bytes: 0 }
  try {
    const { release, manifest } = readRelease(appPath, number)
    using tree = owned(openReleaseTree(appPath, number))
    const deviations = verifyTree(tree.fd, manifest, { nothingElse: true })
    return { release: number, files: release.files, bytes: release.bytes, deviations }
  } catch (error) {
    // Without its record and manifest nothing tells what its files should be.
    const isThere = existsSync(releasePath(appPath, number))
    const isDamage = ['STATE_CORRUPT', 'RELEASE_UNKNOWN', 'ENOENT'].some((code) => hasCode(error, code))
    if (!isThere || !isDamage) throw error
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
    return {
      ...nothing,
      deviations: [{ path: String(number), problem: `cannot be read: ${describeError(cause)}` }],
    }
  }
}

/**
 * What of the release that lies in a slot is not as the store has it. What the app made there beside it is not looked at.
 * Throws RELEASE_UNKNOWN, STATE_CORRUPT.
 */
export function verifySlot({ appPath, number, workingDir }: SlotCheck): readonly Deviation[] {
  const { manifest } = readRelease(appPath, number)
  using slot = owned(openExisting(workingDir))
  return verifyTree(slot.fd, manifest, { nothingElse: false })
}

export interface SlotCheck {
  /** The app's directory in the store. */
  readonly appPath: string
  readonly number: ReleaseNumber
  /** Absolute. */
  readonly workingDir: string
}

/** Opens a file of the store; the caller closes it. */
export function openStored(cursor: DirectoryCursor, file: ManifestFile, number: ReleaseNumber): number {
  try {
    return openBeneath(cursor.parentOf(file.path), baseName(file.path), READ_FILE)
  } catch (error) {
    throw damaged(number, file.path, error)
  }
}

export function damaged(number: ReleaseNumber, path: string, cause?: unknown): DorcError {
  return new DorcError(
    'STATE_CORRUPT',
    `Release ${number} is damaged in the store: "${path}" is not what it was`,
    {
      cause,
      hint: 'Check the disk, then upload the release again or roll back to another one',
    },
  )
}
