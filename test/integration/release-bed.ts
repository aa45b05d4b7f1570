import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { DorcError, type ErrorCode } from '../../src/core/errors.ts'
import { systemClock } from '../../src/platform/clock.ts'
import type { Logger } from '../../src/platform/log.ts'
import { createReleaseStore, type ReleaseStore, type TakenIn } from '../../src/releases/release-store.ts'

export const isRoot = process.geteuid?.() === 0
export const NOBODY = 65534

export const silentLog: Logger = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
}

/** A store, its slots and an upload directory in a temporary directory. */
export interface ReleaseBed {
  readonly root: string
  readonly upload: string
  readonly releases: string
  readonly slots: string
  readonly blue: string
  readonly store: ReleaseStore
  /** Runs at the end of the test, before the directories go. */
  defer(cleanup: () => unknown): void
}

export async function mustOpenBed(t: TestContext): Promise<ReleaseBed> {
  const root = mkdtempSync(join(tmpdir(), 'dorc-releases-'))
  const cleanups: (() => unknown)[] = []
  t.after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup()
    // Node's own recursive removal gives up on paths of more than 4096 bytes.
    execFileSync('rm', ['-rf', root])
  })
  // An upload's owner must be able to reach it.
  chmodSync(root, 0o755)
  const upload = join(root, 'upload')
  mkdirSync(upload)
  const [releases, slots] = [join(root, 'releases'), join(root, 'apps')]
  const store = await openStore(releases, slots)
  return {
    root,
    upload,
    releases,
    slots,
    blue: join(slots, 'web/blue'),
    store,
    defer: (cleanup) => cleanups.push(cleanup),
  }
}

export const openStore = (releasesPath: string, slotsPath: string): Promise<ReleaseStore> =>
  createReleaseStore({
    signersPath: join(releasesPath, '../signers'),
    releasesPath,
    slotsPath,
    clock: systemClock,
    log: silentLog,
  })

/** `bin/app` is executable. */
export function writeRelease(upload: string, version: string): void {
  writeFile(join(upload, 'bin/app'), `#!/bin/sh\necho ${version}\n`, 0o755)
  writeFile(join(upload, 'etc/app.conf'), `version=${version}\n`)
}

export function writeFile(path: string, content: string, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
  chmodSync(path, mode)
}

export function takeIn(
  { store, upload }: ReleaseBed,
  options: Partial<Parameters<ReleaseStore['takeIn']>[2]> = {},
): Promise<TakenIn> {
  const executables = [{ path: 'bin/app', mustBeExecutable: true }]
  return store.takeIn('web', { path: upload, uploader: null }, { executables, ...options })
}

/** Fails unless the promise is refused with that code; returns the error. */
export async function mustRefuse(work: Promise<unknown>, code: ErrorCode): Promise<DorcError> {
  const error: unknown = await work.then(
    () => null,
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof DorcError, `expected ${code}, got ${String(error)}`)
  assert.equal(error.code, code, error.message)
  return error
}

/** Every path below a directory. */
export function pathsBelow(path: string): string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()
}

/** All names in an app's part of the store but those of releases and of dorc's own files. */
export function leftovers({ releases }: ReleaseBed): string[] {
  return readdirSync(join(releases, 'web')).filter(
    (name) => !/^[0-9]+$/.test(name) && name !== 'counter' && name !== 'serial' && name !== 'upload',
  )
}

export const textOf = (path: string): string => readFileSync(path, 'utf8')

/** Fails unless every release of the store is, byte for byte, what was taken in. Returns how many there are. */
export async function mustBeWhole(store: ReleaseStore): Promise<number> {
  const releases = await store.list('web')
  for (const { number } of releases)
    assert.deepEqual((await store.verify('web', number)).deviations, [], `release ${number}`)
  return releases.length
}
