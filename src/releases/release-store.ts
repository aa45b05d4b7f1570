import { mkdirSync, readFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ReleaseNumber, Slot } from '../core/app.ts'
import { hasCode } from '../core/errors.ts'
import { accountByName } from '../platform/accounts.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/log.ts'
import type { ExecutableRule } from './check-manifest.ts'
import { runCopier } from './copier.ts'
import type { Manifest } from './manifest.ts'
import { readRelease } from './read-release.ts'
import type { TakenIn } from './publish-release.ts'
import { type Installed, parseInstalled, recordName, slotsPathOf } from './slot-layout.ts'
import { isReleaseName, parseRelease, RECORD_FILE, type Release } from './store-layout.ts'
import { loadHandledUpload, saveHandledUpload } from './handled-upload.ts'
import type { Deviation } from './verify-tree.ts'
import type { Verification } from './read-release.ts'
import { Turns } from './turns.ts'
import type { Uploader } from './uploader.ts'

export type { Deviation, Installed, Release, TakenIn, Uploader, Verification }

export interface TakeInSource {
  /** Absolute. */
  readonly path: string
  /** With whose rights the tree is read; null: those of the directory's owner. */
  readonly uploader: Uploader | null
}

export interface TakeInOptions {
  readonly executables: readonly ExecutableRule[]
  /** null, or left out: as much as the disk has, but a reserve. */
  readonly maxTotalBytes?: number | null
  /** Left out: off. */
  readonly signatures?: 'off' | 'warn' | 'require'
  readonly onProgress?: (files: number, bytes: number, total: { files: number; bytes: number }) => void
  readonly signal?: AbortSignal
}

/**
 * The releases of all apps, immutable once they are there, and what of them lies in the slots. All work on files is
 * done by copier processes; of one app's releases one at a time, and of one app's slots one at a time.
 */
export interface ReleaseStore {
  /** By number, lowest first. One whose record is damaged is left out, and logged. */
  list(app: string): Promise<readonly Release[]>
  /**
   * Copies an upload into the store. Throws RELEASE_INVALID, RELEASE_EMPTY, UPLOAD_MISSING, UPLOAD_CHANGING, PATH_INVALID, SIGNATURE_INVALID,
   * DISK_FULL or the signal's reason, and then there is no new release.
   */
  takeIn(app: string, source: TakeInSource, options: TakeInOptions): Promise<TakenIn>
  /** Fills a slot whose app does not run. Throws RELEASE_UNKNOWN, STATE_CORRUPT, PATH_INVALID or DISK_FULL. */
  install(app: string, slot: Slot, number: ReleaseNumber, options: InstallOptions): Promise<Installed>
  /** What lies in the slot completely; null: nothing, or half of something. Throws STATE_CORRUPT. */
  installed(app: string, slot: Slot): Promise<Installed | null>
  uninstall(app: string, slot: Slot, options: { purge: boolean; workingDir: string }): Promise<void>
  /** What a release consists of. Throws RELEASE_UNKNOWN or STATE_CORRUPT. */
  manifest(app: string, number: ReleaseNumber): Manifest
  /** Reads all files of a release in the store again. Throws RELEASE_UNKNOWN. */
  verify(app: string, number: ReleaseNumber): Promise<Verification>
  /** Reads the files of a slot's release again: what is not as it was put there. Throws RELEASE_UNKNOWN, STATE_CORRUPT. */
  verifySlot(app: string, number: ReleaseNumber, workingDir: string): Promise<readonly Deviation[]>
  /**
   * Removes the oldest releases beyond the newest `keep`, and beyond `keepBytes`; none that is in use, and never the newest.
   * Returns what it removed.
   */
  prune(app: string, options: PruneOptions): Promise<readonly ReleaseNumber[]>
  remove(app: string, number: ReleaseNumber): Promise<void>
  removeApp(app: string): Promise<void>
  /** The upload that was handled last, across restarts of the daemon. */
  readonly uploads: {
    load(app: string): Promise<string | null>
    save(app: string, fingerprint: string): Promise<void>
  }
}

export interface InstallOptions {
  /** Absolute. */
  readonly workingDir: string
  readonly incarnation: number
  /** Whom the app runs as; null: a user that is made up when it starts. */
  readonly user: string | null
}

export interface PruneOptions {
  readonly keep: number
  /** Of all releases together; null: no limit. */
  readonly keepBytes: number | null
  /** Asked when it is their turn to be removed: a slot may have begun to use one meanwhile. */
  readonly inUse: () => readonly ReleaseNumber[]
}

export interface ReleaseStoreDeps {
  /** Where APP.allowed_signers are. */
  readonly signersPath: string
  readonly releasesPath: string
  readonly slotsPath: string
  readonly clock: Clock
  readonly log: Logger
}

/** Opens the store, and has removed what a crash left half done. */
export async function createReleaseStore(deps: ReleaseStoreDeps): Promise<ReleaseStore> {
  const { releasesPath, slotsPath, signersPath, log } = deps
  mkdirSync(releasesPath, { recursive: true, mode: 0o700 })
  mkdirSync(slotsPath, { recursive: true, mode: 0o755 })
  const appPathOf = (app: string): string => join(releasesPath, app)
  const recordsPathOf = (app: string): string => slotsPathOf(slotsPath, app)
  await cleanStore(releasesPath)
  const releaseTurns = new Turns()
  const slotTurns = new Turns()

  return {
    list: (app) => listReleases(appPathOf(app), log),
    takeIn: (app, source, options) =>
      releaseTurns.take(
        app,
        () => takeIn({ app, appPath: appPathOf(app), signersPath }, source, options),
        options.signal,
      ),
    install: (app, slot, number, { workingDir, incarnation, user }) =>
      slotTurns.take(app, () => {
        const groupId = groupOf(user)
        const [appPath, recordsPath] = [appPathOf(app), recordsPathOf(app)]
        const place = { appPath, slotsPath, recordsPath, workingDir, groupId }
        return runCopier('install', { ...place, number, slot, incarnation })
      }),
    installed: async (app, slot) => readInstalled(join(recordsPathOf(app), recordName(slot))),
    uninstall: (app, slot, { purge, workingDir }) =>
      slotTurns.take(app, async () => {
        await runCopier('uninstall', {
          slot,
          slotsPath,
          recordsPath: recordsPathOf(app),
          workingDir,
          purge,
        })
      }),
    verify: (app, number) => runCopier('verify', { appPath: appPathOf(app), number }),
    manifest: (app, number) => readRelease(appPathOf(app), number).manifest,
    verifySlot: (app, number, workingDir) =>
      runCopier('verify-slot', { appPath: appPathOf(app), number, workingDir }),
    prune: (app, options) => releaseTurns.take(app, () => prune(appPathOf(app), options, log)),
    remove: (app, number) =>
      releaseTurns.take(app, async () => {
        await runCopier('remove', { appPath: appPathOf(app), numbers: [number] })
      }),
    removeApp: (app) =>
      releaseTurns.take(app, async () => {
        await runCopier('remove-app', { appPath: appPathOf(app) })
      }),
    uploads: {
      load: (app) => loadHandledUpload(appPathOf(app)),
      save: (app, fingerprint) => saveHandledUpload(appPathOf(app), fingerprint),
    },
  }
}

const groupOf = (user: string | null): number | null =>
  user === null ? null : (accountByName(user)?.gid ?? null)

async function cleanStore(releasesPath: string): Promise<void> {
  const apps = (await readdir(releasesPath, { withFileTypes: true })).filter((entry) => entry.isDirectory())
  if (apps.length === 0) return
  await runCopier('clean', { appPaths: apps.map(({ name }) => join(releasesPath, name)) })
}

interface Place {
  readonly app: string
  readonly appPath: string
  readonly signersPath: string
}

function takeIn(
  { app, appPath, signersPath }: Place,
  { path, uploader }: TakeInSource,
  options: TakeInOptions,
): Promise<TakenIn> {
  const { executables, maxTotalBytes = null, signatures: policy = 'off', onProgress, signal } = options
  const allowedSignersPath = join(signersPath, `${app}.allowed_signers`)
  const signature = policy === 'off' ? null : { policy, app, allowedSignersPath }
  return runCopier(
    'take-in',
    { appPath, sourcePath: path, uploader, executables, maxTotalBytes, signature },
    {
      onProgress: ({ files, bytes, totalFiles, totalBytes }) =>
        onProgress?.(files, bytes, { files: totalFiles, bytes: totalBytes }),
      ...(signal === undefined ? {} : { signal }),
    },
  )
}

async function listReleases(appPath: string, log: Logger): Promise<Release[]> {
  const releases: Release[] = []
  for (const name of await namesOf(appPath)) {
    if (!isReleaseName(name)) continue
    const path = join(appPath, name, RECORD_FILE)
    try {
      releases.push(parseRelease(await readFile(path, 'utf8'), path))
    } catch (error) {
      // ENOENT: it was removed meanwhile, or its record is lost; either way it cannot be deployed.
      if (!hasCode(error, 'STATE_CORRUPT') && !hasCode(error, 'ENOENT')) throw error
      log.error('release unreadable', { path, error })
    }
  }
  return releases.sort((a, b) => a.number - b.number)
}

async function namesOf(path: string): Promise<string[]> {
  try {
    return await readdir(path)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  }
}

/** At once: it is a line of text, read at every look at the host, and the pool of threads takes milliseconds under load. */
function readInstalled(path: string): Installed | null {
  try {
    return parseInstalled(readFileSync(path, 'utf8'), path)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}

async function prune(appPath: string, options: PruneOptions, log: Logger): Promise<ReleaseNumber[]> {
  const releases = await listReleases(appPath, log)
  const numbers = outdated(releases, options)
  if (numbers.length > 0) await runCopier('remove', { appPath, numbers })
  return numbers
}

/** `releases` lowest number first. */
function outdated(releases: readonly Release[], { keep, keepBytes, inUse }: PruneOptions): ReleaseNumber[] {
  const used = inUse()
  let bytes = releases.reduce((sum, release) => sum + release.bytes, 0)
  let count = releases.length
  return releases.slice(0, -1).flatMap((release) => {
    const isTooMany = count > keep || (keepBytes !== null && bytes > keepBytes)
    count -= 1
    if (!isTooMany || used.includes(release.number)) return []
    bytes -= release.bytes
    return [release.number]
  })
}
