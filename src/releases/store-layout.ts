import { closeSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ReleaseNumber } from '../core/app.ts'
import { DorcError } from '../core/errors.ts'
import { openDirectory, READ_DIRECTORY, tryLock } from './file-calls.ts'

/**
 * releases/APP/N/{release.json,manifest,tree/}: a release, complete and durable from the moment that it has its name.
 * releases/APP/.incoming-*, .trash-*: being taken in, being deleted; worthless once the app's lock is free.
 * releases/APP/counter: the highest number ever given. releases/APP/upload: the upload that was handled last.
 * A directory of an app has one changer at a time: whoever holds its flock(2).
 */
export const RECORD_FILE = 'release.json'
export const MANIFEST_FILE = 'manifest'
export const TREE_DIRECTORY = 'tree'
export const COUNTER_FILE = 'counter'
/** The highest serial of the signed releases; those that are kept have theirs in their records, too. */
export const SERIAL_FILE = 'serial'
export const UPLOAD_FILE = 'upload'
export const INCOMING_PREFIX = '.incoming-'
export const TRASH_PREFIX = '.trash-'

export interface Signature {
  /** As the allowed signers file names him. */
  readonly signer: string
  readonly serial: number
}

export interface Release {
  readonly number: ReleaseNumber
  /** `sha256:…` */
  readonly digest: string
  /** ISO 8601, UTC. */
  readonly takenInAt: string
  readonly files: number
  readonly bytes: number
  /** null: by nobody, or it was not asked. */
  readonly signed: Signature | null
}

export const isReleaseName = (name: string): boolean => /^[1-9][0-9]{0,8}$/.test(name)
export const isLeftover = (name: string): boolean =>
  name.startsWith(INCOMING_PREFIX) || name.startsWith(TRASH_PREFIX) || name.endsWith('.tmp')

export const releasePath = (appPath: string, number: ReleaseNumber): string => join(appPath, String(number))

/** Throws STATE_CORRUPT, naming `where`. */
export function parseRelease(text: string, where: string): Release {
  const parsed = parseObject(text, where)
  const { number, digest, takenInAt, files, bytes, signed = null } = parsed
  if (
    typeof number !== 'number' ||
    typeof digest !== 'string' ||
    !/^sha256:[0-9a-f]{64}$/.test(digest) ||
    typeof takenInAt !== 'string' ||
    typeof files !== 'number' ||
    typeof bytes !== 'number' ||
    !isSignature(signed)
  ) {
    throw corruptFile(where)
  }
  return { number, digest, takenInAt, files, bytes, signed }
}

function isSignature(value: unknown): value is Signature | null {
  if (value === null) return true
  const has = (key: string, type: string): boolean =>
    typeof value === 'object' && typeof Reflect.get(value ?? {}, key) === type
  return has('signer', 'string') && has('serial', 'number')
}

/** Throws STATE_CORRUPT, naming `where`. */
export function parseObject(text: string, where: string): Readonly<Record<string, unknown>> {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    throw corruptFile(where, error)
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw corruptFile(where)
  return parsed as Record<string, unknown>
}

export function corruptFile(where: string, cause?: unknown): DorcError {
  return new DorcError('STATE_CORRUPT', `Cannot understand "${where}"`, {
    cause,
    hint: 'Delete it if it is not needed, and deploy again',
  })
}

/** Opens and locks a directory, making it with `mode` if need be; BUSY if another process keeps it locked. */
export async function lockDirectory(appPath: string, mode: number): Promise<number> {
  mkdirSync(appPath, { recursive: true, mode })
  const fd = openDirectory(appPath, true, READ_DIRECTORY)
  // A copier whose daemon died notices it within one report of its progress.
  for (let tries = 0; tries < 50; tries += 1) {
    if (tryLock(fd)) return fd
    await sleep(100)
  }
  closeSync(fd)
  throw new DorcError('BUSY', `Another process is working on "${appPath}"`, { hint: 'Try again in a moment' })
}
