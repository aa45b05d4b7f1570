import type { App, Listener, Slot } from './app.ts'
import { DorcError } from './errors.ts'

/** What a release needs beside the one that is active, and what the host has. In bytes, where nothing else is said. */
export interface Room {
  readonly slot: Slot
  readonly release: { readonly number: number; readonly bytes: number; readonly files: number }
  /** Of the active slot, which its successor is likely to use as well; null: not known. */
  readonly memoryOfActive: number | null
  /** With what the inactive slot's process gives back when it ends. */
  readonly memoryAvailable: number
  /** Of the file system that the slot's working directory is on. */
  readonly disk: { readonly path: string; readonly bytes: number; readonly files: number }
  /** Who has the slot's port. */
  readonly listener: Listener
}

/** Throws NOT_ADMITTED with every reason, and its numbers, why the release will not fit beside the active one. */
export function refuseUnfit({ name }: App, room: Room): void {
  const reasons = [...memoryReasons(room), ...diskReasons(room), ...portReasons(room)]
  if (reasons.length === 0) return
  const { number } = room.release
  throw new DorcError('NOT_ADMITTED', `Release ${number} of "${name}" will not fit: ${reasons.join('; ')}`, {
    hint: `Make room, or insist: dorc deploy ${name} --force`,
  })
}

function memoryReasons({ memoryOfActive, memoryAvailable }: Room): string[] {
  if (memoryOfActive === null || memoryOfActive <= memoryAvailable) return []
  return [
    `the active slot uses ${mega(memoryOfActive)} of memory, and ${mega(memoryAvailable)} are available`,
  ]
}

function diskReasons({ release, disk }: Room): string[] {
  const reasons: string[] = []
  if (release.bytes > disk.bytes)
    reasons.push(`it needs ${mega(release.bytes)} in "${disk.path}", and ${mega(disk.bytes)} are free`)
  if (release.files > disk.files)
    reasons.push(`it has ${release.files} files, and "${disk.path}" has room for ${disk.files}`)
  return reasons
}

const portReasons = ({ listener }: Room): string[] => (listener.state === 'foreign' ? [listener.detail] : [])

const mega = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`
