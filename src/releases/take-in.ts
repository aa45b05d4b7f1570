import { randomBytes } from 'node:crypto'
import { statfsSync } from 'node:fs'
import { DorcError } from '../core/errors.ts'
import { checkExecutable, checkSymlinks, type ExecutableRule } from './check-manifest.ts'
import { checkSignature, type Known, type SignatureRule } from './check-signature.ts'
import { checkTree } from './check-tree.ts'
import { copyTree } from './copy-tree.ts'
import type { Progress } from './progress.ts'
import { inDirectory, makeDirectory, owned, statFd } from './file-calls.ts'
import type { Manifest } from './manifest.ts'
import { publish, type TakenIn } from './publish-release.ts'
import { removeLeftovers } from './remove-releases.ts'
import { removeTree } from './remove-tree.ts'
import { entryKey, type ScannedEntry, SCAN_LIMITS, scanTree } from './scan-tree.ts'
import { INCOMING_PREFIX, lockDirectory, TREE_DIRECTORY } from './store-layout.ts'
import type { Uploader } from './uploader.ts'
import { openUpload, uploadMissing, type UploadSource } from './upload-source.ts'

export interface TakeInJob {
  /** The app's directory in the store. */
  readonly appPath: string
  /** Absolute. */
  readonly sourcePath: string
  /** null: the owner of the source, which then may have no symbolic link in its path. */
  readonly uploader: Uploader | null
  readonly executables: readonly ExecutableRule[]
  readonly maxTotalBytes: number | null
  /** null: signatures are not looked at. */
  readonly signature: SignatureRule | null
}

/** The first one and three more, as long as the upload keeps changing. */
const ATTEMPTS = 4
/** Space that an upload never takes: the daemon's state and the apps' own files need it. */
const RESERVED_BYTES = 256 * 1024 * 1024
const RESERVED_SHARE = 0.05
/** Of the release's directory, tree, record, manifest and their temporary files. */
const OWN_INODES = 8

/**
 * Makes a release of an upload: reads it with the uploader's rights, copies and hashes it, and gives it a number when
 * all of it is on the disk. Throws RELEASE_INVALID, RELEASE_EMPTY, UPLOAD_MISSING, UPLOAD_CHANGING or DISK_FULL; then
 * the store is as it was.
 */
export async function takeIn(job: TakeInJob, report: (progress: Progress) => void): Promise<TakenIn> {
  using app = owned(await lockDirectory(job.appPath, 0o700))
  removeLeftovers(app.fd)
  const source = openUpload(job.sourcePath, job.uploader)
  using _ = owned(source.fd)
  return takeInFrom(job, source, { appFd: app.fd, report })
}

interface Target {
  readonly appFd: number
  readonly report: (progress: Progress) => void
}

function takeInFrom(job: TakeInJob, source: UploadSource, { appFd, report }: Target): TakenIn {
  const name = `${INCOMING_PREFIX}${randomBytes(8).toString('hex')}`
  try {
    for (let attempt = 1; ; attempt += 1) {
      removeTree(appFd, name)
      const attempted = attemptCopy(job, source, { appFd, name, report })
      if (attempted.changed === null) return publishSigned(job, attempted.manifest, { appFd, name })
      if (attempt === ATTEMPTS) throw stillChanging(attempted.changed)
    }
  } finally {
    removeTree(appFd, name)
  }
}

function publishSigned(
  { appPath, signature: rule }: TakeInJob,
  manifest: Manifest,
  { appFd, name }: { readonly appFd: number; readonly name: string },
): TakenIn {
  return inDirectory(appFd, name, (incomingFd) =>
    inDirectory(incomingFd, TREE_DIRECTORY, (treeFd) => {
      const judge = rule === null ? null : (known: Known) => checkSignature({ treeFd, manifest }, rule, known)
      return publish(manifest, { appFd, appPath, name, judge })
    }),
  )
}

type Attempt = { readonly changed: string } | { readonly changed: null; readonly manifest: Manifest }

function attemptCopy(
  job: TakeInJob,
  { fd: sourceFd, rights, ownerUid }: UploadSource,
  { appFd, name, report }: Target & { readonly name: string },
): Attempt {
  const scan = (): ScannedEntry[] => rights.asUploader(() => [...scanTree(sourceFd, SCAN_LIMITS)])
  const before = scan()
  if (before.length === 0) {
    // Deleted since it was opened: it has no name any more.
    if (statFd(sourceFd).links === 0) throw uploadMissing(job.sourcePath)
    throw new DorcError('RELEASE_EMPTY', `There is nothing in "${job.sourcePath}"`, {
      hint: `Upload a release into it, for example: rsync -a build/ ${job.sourcePath}/`,
    })
  }
  checkTree(before, ownerUid)
  checkSpace(job, before)

  makeDirectory(appFd, name, 0o700)
  const copied = inDirectory(appFd, name, (incomingFd) => {
    makeDirectory(incomingFd, TREE_DIRECTORY, 0o755)
    return inDirectory(incomingFd, TREE_DIRECTORY, (treeFd) =>
      copyTree({ sourceFd, treeFd, rights, report }, before),
    )
  })
  if (copied.changed !== null) return copied
  const changed = firstDifference(before, scan())
  if (changed !== null) return { changed }
  checkSymlinks(copied.manifest)
  for (const rule of job.executables) checkExecutable(copied.manifest, rule)
  return copied
}

function checkSpace(job: TakeInJob, entries: readonly ScannedEntry[]): void {
  const needed = totalBytes(entries)
  if (job.maxTotalBytes !== null && needed > job.maxTotalBytes) {
    throw new DorcError('RELEASE_INVALID', `The upload has ${needed} bytes, more than ${job.maxTotalBytes}`, {
      hint: 'Upload only what the app needs to run',
    })
  }
  const { bavail, blocks, bsize, files, ffree } = statfsSync(job.appPath)
  const reserved = Math.min(RESERVED_BYTES, blocks * bsize * RESERVED_SHARE)
  const usable = Math.max(0, Math.floor(bavail * bsize - reserved))
  // Their last blocks are not full, and each directory has one.
  const occupied = entries.reduce((sum, { stat }) => sum + blocksOf(stat, bsize) * bsize, 0)
  // A file system without a fixed number of inodes has 0 of them (statfs(2), Btrfs).
  if (files > 0 && entries.length + OWN_INODES > ffree)
    throw diskFull(job.appPath, `${entries.length + OWN_INODES} inodes are needed, ${ffree} are free`)
  if (occupied > usable) throw diskFull(job.appPath, `${occupied} bytes are needed, ${usable} are usable`)
}

const blocksOf = ({ kind, size }: ScannedEntry['stat'], blockBytes: number): number =>
  kind === 'file' ? Math.ceil(size / blockBytes) : 1

export function diskFull(path: string, detail: string, cause?: unknown): DorcError {
  return new DorcError('DISK_FULL', `The disk of "${path}" is too full: ${detail}`, {
    cause,
    hint: 'Free some space, or keep fewer releases (keep_releases)',
  })
}

export function totalBytes(entries: readonly ScannedEntry[]): number {
  return entries.reduce((sum, { stat }) => sum + (stat.kind === 'file' ? stat.size : 0), 0)
}

function firstDifference(before: readonly ScannedEntry[], after: readonly ScannedEntry[]): string | null {
  for (let i = 0; i < Math.max(before.length, after.length); i += 1) {
    const [old, now] = [before[i], after[i]]
    if (old === undefined || now === undefined || entryKey(old) !== entryKey(now)) {
      // A directory changes with each name in it; the name says more.
      return (now ?? old)?.path ?? null
    }
  }
  return null
}

function stillChanging(path: string): DorcError {
  return new DorcError('UPLOAD_CHANGING', `The upload changes while it is read: "${path}" changed last`, {
    hint: 'Wait for the upload to end, then upload again or run dorc deploy',
  })
}
