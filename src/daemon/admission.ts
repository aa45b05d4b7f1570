import { statfsSync } from 'node:fs'
import { freemem } from 'node:os'
import { dirname } from 'node:path'
import { refuseUnfit } from '../core/admission.ts'
import { type App, otherSlot, type SlotIntent } from '../core/app.ts'
import { hasCode } from '../core/errors.ts'
import { slotProcess } from '../core/slot-process.ts'
import { listenerOf } from '../health/listener.ts'
import type { Release } from '../releases/release-store.ts'
import type { Supervisor } from '../supervisor/supervisor.ts'
import type { Observation } from './observe.ts'

/** Will two of them fit? Throws NOT_ADMITTED. The first release of an app has nobody beside it. */
export function refuseIfNoRoom(app: App, { units }: Observation, release: Release): void {
  if (app.slots[app.activeSlot] === null) return
  const slot = otherSlot(app.activeSlot)
  const { port, workingDir } = app.definition.slots[slot]
  refuseUnfit(app, {
    slot,
    release,
    memoryOfActive: units[app.activeSlot].memoryBytes,
    // MemAvailable of /proc/meminfo: what can be had without swapping (proc_meminfo(5)).
    memoryAvailable: freemem() + (units[slot].memoryBytes ?? 0),
    disk: roomIn(workingDir),
    listener: listenerOf(units[slot].pids, port),
  })
}

/** The directory may not be there yet; where it is to be made is on the same file system, or a mount that comes later. */
function roomIn(path: string): { path: string; bytes: number; files: number } {
  try {
    const { bavail, bsize, ffree, files } = statfsSync(path)
    // File systems that make inodes as they need them have none to count.
    return { path, bytes: bavail * bsize, files: files === 0 ? Number.POSITIVE_INFINITY : ffree }
  } catch (error) {
    if (!hasCode(error, 'ENOENT') || dirname(path) === path) throw error
    return roomIn(dirname(path))
  }
}

/** Throws what the supervisor would say when it is too late: a unit that is masked, edited by hand, or of no known user. */
export async function refuseUnitUnfit(app: App, release: Release, supervisor: Supervisor): Promise<void> {
  const slot = app.slots[app.activeSlot] === null ? app.activeSlot : otherSlot(app.activeSlot)
  const intent: SlotIntent = {
    release: release.number,
    run: 'running',
    incarnation: app.generation + 1,
    definition: app.definition.slots[slot],
  }
  await supervisor.refuseUnfit(slotProcess(app.name, slot, intent))
}
