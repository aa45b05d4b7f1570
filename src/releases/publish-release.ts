import { fsyncSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode } from '../core/errors.ts'
import { readFileIn, writeFileIn } from './atomic-file.ts'
import { inDirectory, namesIn, renameWithoutReplacing, syncFileSystem } from './file-calls.ts'
import type { Known, SignatureVerdict } from './check-signature.ts'
import { digestOf, formatManifest, type Manifest } from './manifest.ts'
import {
  COUNTER_FILE,
  corruptFile,
  isReleaseName,
  MANIFEST_FILE,
  parseRelease,
  RECORD_FILE,
  type Release,
  SERIAL_FILE,
} from './store-layout.ts'

export interface TakenIn {
  readonly release: Release
  /** False: a release with this very content was there already. */
  readonly isNew: boolean
  /** Why its signature is none, where that is only told of. */
  readonly warning: string | null
}

/** An app's directory in the store, open and locked, and the name in it of what was copied. */
export interface Incoming {
  readonly appFd: number
  readonly appPath: string
  readonly name: string
  /** Judges the signature of a release, which the store may have already; null: nobody asked. */
  readonly judge: ((known: Known) => SignatureVerdict) | null
}

/** The rename is the moment at which the release exists: all of it is on the disk before. */
export function publish(manifest: Manifest, { appFd, appPath, name, judge }: Incoming): TakenIn {
  const text = formatManifest(manifest)
  const digest = digestOf(text)
  const known = readReleases(appFd, appPath)
  const same = known.find((release) => release.digest === digest)
  const verdict = judge?.({ isSame: same !== undefined, serial: highestSerial(appFd, known) }) ?? null
  const warning = verdict?.ok === false ? verdict.reason : null
  if (same !== undefined) return { release: same, isNew: false, warning }

  const files = manifest.filter((entry) => entry.kind === 'file')
  const release: Release = {
    number: nextNumber(appFd, appPath),
    digest,
    takenInAt: new Date().toISOString(),
    files: files.length,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    signed: verdict?.ok === true ? verdict.signed : null,
  }
  inDirectory(appFd, name, (incomingFd) => {
    writeFileIn(incomingFd, MANIFEST_FILE, text)
    writeFileIn(incomingFd, RECORD_FILE, `${JSON.stringify(release)}\n`)
  })
  // On an fd from before the copy: one that is opened now would not hear of write errors since (syncfs(2)).
  syncFileSystem(appFd)
  writeFileIn(appFd, COUNTER_FILE, `${release.number}\n`)
  renameWithoutReplacing(appFd, name, appFd, String(release.number))
  fsyncSync(appFd)
  if (release.signed !== null) writeFileIn(appFd, SERIAL_FILE, `${release.signed.serial}\n`)
  return { release, isNew: true, warning }
}

/** Above every number that was ever given: a pruned release's number is not given again. */
function nextNumber(appFd: number, appPath: string): number {
  const text = readFileIn(appFd, COUNTER_FILE)
  const last = text === null ? 0 : Number(text)
  if (!Number.isSafeInteger(last) || last < 0) throw corruptFile(join(appPath, COUNTER_FILE))
  const present = namesIn(appFd).filter(({ text: name }) => isReleaseName(name))
  return Math.max(last, ...present.map(({ text: name }) => Number(name))) + 1
}

/** 0: none was signed. Read from the records, too: a crash may have come before the file was written. */
function highestSerial(appFd: number, known: readonly Release[]): number {
  const last = Number(readFileIn(appFd, SERIAL_FILE) ?? 0)
  return Math.max(last, ...known.map(({ signed }) => signed?.serial ?? 0))
}

/** A release whose record cannot be read is no reason to refuse another one. */
function readReleases(appFd: number, appPath: string): Release[] {
  return namesIn(appFd).flatMap(({ text: name }) => {
    if (!isReleaseName(name)) return []
    try {
      const path = join(appPath, name, RECORD_FILE)
      return [parseRelease(readFileSync(path, 'utf8'), path)]
    } catch (error) {
      if (hasCode(error, 'ENOENT') || hasCode(error, 'STATE_CORRUPT')) return []
      throw error
    }
  })
}
