import { join } from 'node:path'
import type { ReleaseNumber, Slot } from '../core/app.ts'
import { corruptFile, parseObject } from './store-layout.ts'

/**
 * slots/APP/SLOT.installed: what lies in the slot's working directory, completely; no file, or half of one: nothing.
 * slots/APP/SLOT.files: the manifest of all that dorc ever put there and may have to take away.
 */

/** Where an install gathers its files, at the root of the slot: no release may have this name. */
export const STAGING_NAME = '.dorc-staging'

export const recordName = (slot: Slot): string => `${slot}.installed`
export const ownedName = (slot: Slot): string => `${slot}.files`
export const slotsPathOf = (slotsPath: string, app: string): string => join(slotsPath, app)

export interface Installed {
  readonly incarnation: number
  readonly release: ReleaseNumber
  readonly digest: string
}

/** Throws STATE_CORRUPT, naming `where`. */
export function parseInstalled(text: string, where: string): Installed {
  const { incarnation, release, digest } = parseObject(text, where)
  if (typeof incarnation !== 'number' || typeof release !== 'number' || typeof digest !== 'string') {
    throw corruptFile(where)
  }
  return { incarnation, release, digest }
}
