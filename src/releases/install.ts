import { fchmodSync, fchownSync } from 'node:fs'
import type { ReleaseNumber, Slot } from '../core/app.ts'
import { hasCode } from '../core/errors.ts'
import { removeFileIn, writeFileIn } from './atomic-file.ts'
import { copyAndHash, hashFile } from './copy-file.ts'
import { baseName, DirectoryCursor } from './directory-cursor.ts'
import {
  CREATE_FILE,
  inDirectory,
  makeDirectory,
  makeSymlink,
  openBeneath,
  owned,
  READ_DIRECTORY,
  READ_FILE,
  renameAt,
  statFd,
  syncFileSystem,
  unlinkFile,
} from './file-calls.ts'
import { fileMode, formatManifest, type Manifest, type ManifestEntry, type ManifestFile } from './manifest.ts'
import { countProgress, type Progress, type ProgressCounter } from './progress.ts'
import { readOwned, removeOwned } from './owned-files.ts'
import { damaged, openReleaseTree, openStored, readRelease } from './read-release.ts'
import { removeTree } from './remove-tree.ts'
import { type Installed, ownedName, recordName, STAGING_NAME } from './slot-layout.ts'
import { lockDirectory } from './store-layout.ts'
import { isBelow, openWorkingDir } from './working-dir.ts'

export interface InstallJob {
  /** The app's directory in the store. */
  readonly appPath: string
  readonly number: ReleaseNumber
  readonly slot: Slot
  readonly incarnation: number
  /** Where slots lie by default; below it directories are made as needed. */
  readonly slotsPath: string
  /** The app's directory in `slotsPath`: the records are kept there. */
  readonly recordsPath: string
  readonly workingDir: string
  /** Of the app's user, if it has one of its own choice. */
  readonly groupId: number | null
}

/** Who besides root may make files in the directories of a slot. */
interface Sharing {
  readonly groupId: number
  readonly mode: number
}

/**
 * Below the slots' own directory, which nobody else may enter, everybody may: the app's user is made up by systemd and not
 * known before. Anywhere else a file that a stranger puts beside the release could be loaded with it: only the group of a named user
 * may, or nobody.
 */
function sharingOf({ workingDir, slotsPath, groupId }: InstallJob): Sharing {
  if (isBelow(workingDir, slotsPath)) return { groupId: 0, mode: 0o1777 }
  return groupId === null ? { groupId: 0, mode: 0o755 } : { groupId, mode: 0o1775 }
}

/** In a slot that an app's own user may write to, the files are root's and in sticky directories: it cannot change them. */
const isRoot = (): boolean => process.geteuid?.() === 0

/**
 * Makes the working directory of a slot hold a release, beside what the app made there itself. All content is gathered
 * and checked first; a failure up to then leaves the slot's files as they are. The app must not run: it may own what
 * else lies there, and its names are replaced where the release has the same.
 */
export async function install(job: InstallJob, report: (progress: Progress) => void): Promise<Installed> {
  using records = owned(await lockDirectory(job.recordsPath, 0o755))
  const { release, manifest } = readRelease(job.appPath, job.number)
  using slot = owned(openWorkingDir(job.workingDir, job.slotsPath))
  const sharing = sharingOf(job)
  takeOver(slot.fd, sharing)
  try {
    const staged = stage(slot.fd, manifest, { ...job, report })
    const before = readOwned(records.fd, job.slot, job.recordsPath)
    removeFileIn(records.fd, recordName(job.slot))
    writeFileIn(records.fd, ownedName(job.slot), formatManifest(union(before, manifest)))
    removeOwned(slot.fd, without(before, manifest))
    place(slot.fd, { manifest, staged, sharing })
  } finally {
    removeTree(slot.fd, STAGING_NAME)
  }
  syncFileSystem(slot.fd)
  const installed: Installed = { incarnation: job.incarnation, release: job.number, digest: release.digest }
  writeFileIn(records.fd, ownedName(job.slot), formatManifest(manifest))
  writeFileIn(records.fd, recordName(job.slot), `${JSON.stringify(installed)}\n`)
  return installed
}

/** Paths whose content waits in the staging directory, by the name that it has there. */
type Staged = ReadonlyMap<string, string>

function stage(
  slotFd: number,
  manifest: Manifest,
  job: InstallJob & { readonly report: (progress: Progress) => void },
): Staged {
  const counter = countProgress(
    manifest.filter((entry) => entry.kind === 'file'),
    job.report,
  )
  makeStaging(slotFd)
  using tree = owned(openReleaseTree(job.appPath, job.number))
  using store = new DirectoryCursor(tree.fd)
  using slot = new DirectoryCursor(slotFd)
  const staged = new Map<string, string>()
  inDirectory(slotFd, STAGING_NAME, (stagingFd) => {
    for (const entry of manifest) {
      if (entry.kind === 'directory' || (entry.kind === 'file' && isInPlace(slot, entry))) continue
      const name = String(staged.size)
      if (entry.kind === 'symlink') makeSymlink(entry.target, stagingFd, name)
      else
        stageFile(openStored(store, entry, job.number), {
          stagingFd,
          name,
          file: entry,
          number: job.number,
          counter,
        })
      staged.set(entry.path, name)
    }
  })
  return staged
}

/** Not even the app's user can look or write into it; the app's own directory of that name goes. */
function makeStaging(slotFd: number): void {
  removeTree(slotFd, STAGING_NAME)
  makeDirectory(slotFd, STAGING_NAME, 0o700)
}

interface FileStaging {
  readonly stagingFd: number
  readonly name: string
  readonly file: ManifestFile
  readonly number: ReleaseNumber
  readonly counter: ProgressCounter
}

function stageFile(fromFd: number, { stagingFd, name, file, number, counter }: FileStaging): void {
  using from = owned(fromFd)
  using to = owned(openBeneath(stagingFd, name, CREATE_FILE, 0o600))
  const copied = copyAndHash(from.fd, to.fd, { expectedSize: file.size, onBytes: counter.bytesDone })
  if (copied.sha256 !== file.sha256 || copied.bytes !== file.size) throw damaged(number, file.path)
  fchmodSync(to.fd, fileMode(file))
  counter.fileDone()
}

/** A file that is right already keeps its times, which HTTP servers make entity tags of. */
function isInPlace(slot: DirectoryCursor, file: ManifestFile): boolean {
  try {
    using present = owned(openBeneath(slot.parentOf(file.path), baseName(file.path), READ_FILE))
    const { kind, uid, mode, links, size } = statFd(present.fd)
    const isOurs = kind === 'file' && uid === process.geteuid?.() && links === 1
    if (!isOurs || mode !== fileMode(file) || size !== file.size) return false
    return hashFile(present.fd, { expectedSize: size, onBytes: () => undefined }).sha256 === file.sha256
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'EACCES'].some((code) => hasCode(error, code))) return false
    throw error
  }
}

interface Placing {
  readonly manifest: Manifest
  readonly staged: Staged
  readonly sharing: Sharing
}

function place(slotFd: number, { manifest, staged, sharing }: Placing): void {
  using cursor = new DirectoryCursor(slotFd)
  inDirectory(slotFd, STAGING_NAME, (stagingFd) => {
    for (const entry of manifest) {
      const parentFd = cursor.parentOf(entry.path)
      const name = baseName(entry.path)
      const stagedName = staged.get(entry.path)
      if (entry.kind === 'directory') placeDirectory(parentFd, name, sharing)
      else if (stagedName !== undefined) moveIn(stagingFd, stagedName, { parentFd, name })
    }
  })
}

function moveIn(stagingFd: number, staged: string, to: { parentFd: number; name: string }): void {
  try {
    renameAt(stagingFd, staged, to.parentFd, to.name)
  } catch (error) {
    if (!hasCode(error, 'EISDIR')) throw error
    removeTree(to.parentFd, to.name)
    renameAt(stagingFd, staged, to.parentFd, to.name)
  }
}

function placeDirectory(parentFd: number, name: string, sharing: Sharing): void {
  try {
    makeDirectory(parentFd, name, 0o755)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
  }
  using directory = owned(openOrReplace(parentFd, name))
  takeOver(directory.fd, sharing)
}

/** What is not a directory, a planted symbolic link above all, makes room for one. */
function openOrReplace(parentFd: number, name: string): number {
  try {
    return openBeneath(parentFd, name, READ_DIRECTORY)
  } catch (error) {
    if (!hasCode(error, 'ELOOP') && !hasCode(error, 'ENOTDIR')) throw error
    unlinkFile(parentFd, name)
    makeDirectory(parentFd, name, 0o755)
    return openBeneath(parentFd, name, READ_DIRECTORY)
  }
}

/** Only the owner of a sticky directory may rename or delete what is not his in it (inode(7)): so that must be us. */
function takeOver(directoryFd: number, { groupId, mode }: Sharing): void {
  if (!isRoot()) return
  const present = statFd(directoryFd)
  if (present.uid !== 0 || present.gid !== groupId) fchownSync(directoryFd, 0, groupId)
  if (present.mode !== mode) fchmodSync(directoryFd, mode)
}

function union(before: Manifest, after: Manifest): ManifestEntry[] {
  return [...without(before, after), ...after]
}

function without(before: Manifest, after: Manifest): ManifestEntry[] {
  const kept = new Set(after.map(({ path }) => path))
  return before.filter(({ path }) => !kept.has(path))
}
