import { otherSlot, SLOTS, type App } from '../core/app.ts'
import type { Definition } from '../core/definition.ts'
import type { ReleaseStore, TakenIn, Uploader } from '../releases/release-store.ts'
import type { Chronicle } from './chronicle.ts'

export interface Source {
  readonly path: string
  /** With whose rights the tree is read; null: those of the directory's owner. */
  readonly uploader: Uploader | null
}

export interface TakeInOptions {
  readonly onProgress: (files: number, bytes: number) => void
  readonly signal: AbortSignal
}

/** Copies an upload into the release store of the app, if it has what each of the slots is to run. Throws what ReleaseStore.takeIn throws. */
export async function takeIn(
  { releases, chronicle }: { readonly releases: ReleaseStore; readonly chronicle: Chronicle },
  { name, definition }: { readonly name: string; readonly definition: Definition },
  source: Source,
  options: TakeInOptions,
): Promise<TakenIn> {
  const executables = SLOTS.map((slot) => {
    const { executable: path, start } = definition.slots[slot]
    return { path, mustBeExecutable: start[0] === '{executable}' }
  })
  const taken = await releases.takeIn(name, source, {
    executables,
    signatures: definition.signatures,
    ...options,
  })
  const { release, warning } = taken
  if (warning !== null) {
    const message = `Release ${release.number} was taken in all the same: ${warning}`
    chronicle.record(name, { type: 'signature-missing', message, deploy: null }, null)
  }
  return taken
}

/** Whether the inactive slot runs that release, or is about to: then there is nothing to deploy. */
export function isInPlace(app: App, release: number): boolean {
  if (app.next !== null) return app.next.release === release
  const { deploy } = app
  const hasFailed =
    deploy?.release === release && (deploy.state === 'failed' || deploy.state === 'rolled-back')
  if (hasFailed) return false
  const isUnderWay =
    deploy?.release === release && (deploy.state === 'draining' || deploy.state === 'preparing')
  return isUnderWay || app.slots[otherSlot(app.activeSlot)]?.release === release
}

/** Whether new connections go to that release, and nothing is on its way to change that. */
export function isShown({ next, deploy, activeSlot, slots }: App, release: number): boolean {
  const isChanging =
    next !== null || (deploy !== null && ['draining', 'preparing', 'switching'].includes(deploy.state))
  const active = slots[activeSlot]
  return !isChanging && active?.release === release && active.run === 'running'
}

/** Releases that must be kept, whatever their age. */
export function releasesInUse(app: App): number[] {
  const numbers = [
    app.slots.blue?.release,
    app.slots.green?.release,
    app.previousRelease,
    app.deploy?.release,
    app.next?.release,
    // The last that proved itself.
    app.proven.at(-1),
  ]
  return numbers.filter((release) => release !== null && release !== undefined)
}
