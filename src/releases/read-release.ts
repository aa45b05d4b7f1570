import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ReleaseNumber } from '../core/app.ts'
import { DorcError, hasCode } from '../core/errors.ts'
import { hashFile } from './copy-file.ts'
import { baseName, DirectoryCursor } from './directory-cursor.ts'
import { openBeneath, openDirectory, owned, READ_FILE, statFd } from './file-calls.ts'
import { digestOf, type Manifest, type ManifestFile, parseManifest } from './manifest.ts'
import {
  MANIFEST_FILE,
  parseRelease,
  RECORD_FILE,
  type Release,
  releasePath,
  TREE_DIRECTORY,
} from './store-layout.ts'

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

/** Reads a release's files again. Throws STATE_CORRUPT, naming the first one that is not what was taken in. */
export function verifyRelease(appPath: string, number: ReleaseNumber): Release {
  const { release, manifest } = readRelease(appPath, number)
  using tree = owned(openReleaseTree(appPath, number))
  using cursor = new DirectoryCursor(tree.fd)
  for (const entry of manifest) {
    if (entry.kind === 'file') verifyFile(cursor, entry, number)
  }
  return release
}

function verifyFile(cursor: DirectoryCursor, file: ManifestFile, number: ReleaseNumber): void {
  using source = owned(openStored(cursor, file, number))
  const { sha256 } = hashFile(source.fd, { expectedSize: file.size, onBytes: () => undefined })
  if (sha256 !== file.sha256 || statFd(source.fd).size !== file.size) throw damaged(number, file.path)
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
