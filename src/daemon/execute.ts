import type { App, Slot, SlotIntent } from '../core/app.ts'
import { HOOK_TIMEOUT_MS } from '../core/definition.ts'
import { hasCode } from '../core/errors.ts'
import { previewRouteName } from '../core/names.ts'
import { slotProcess } from '../core/slot-process.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import type { InstallOptions, ReleaseStore } from '../releases/release-store.ts'
import { Turns } from '../releases/turns.ts'
import type { Chronicle } from './chronicle.ts'
import type { Executors } from './executors.ts'
import type { Adapters } from './observe.ts'

export interface ExecuteOptions {
  readonly chronicle: Chronicle
  /** Deletes what is kept of an app beside its units, routes and slots. */
  readonly forget: (app: App, purge: boolean) => Promise<void>
}

/** What each step does to the host. */
export function executorsFor(
  { supervisor, dataPlane, releases, prober }: Adapters,
  { forget, chronicle }: ExecuteOptions,
): Executors {
  /** Of each slot the incarnation whose files were all read and found right by its installation, just now. */
  const verified = new Map<Slot, number>()
  // Both slots of a first release are filled at once, and two migrations of one database would meet.
  const hooks = new Turns()
  return {
    async route({ target, paused, guardedPorts }, { name, definition }) {
      const { listen, holdTimeoutMs } = definition
      await dataPlane.setRoute({ app: name, listen, target, paused, holdTimeoutMs, guardedPorts })
    },
    async preview({ target }, { name, definition }) {
      const { preview: listen, holdTimeoutMs } = definition
      if (listen === null) return
      const app = previewRouteName(name)
      await dataPlane.setRoute({ app, listen, target, paused: false, holdTimeoutMs, guardedPorts: [] })
    },
    async unpreview(_step, { name }) {
      await dataPlane.removeRoute(previewRouteName(name))
    },
    async unroute(_step, { name }) {
      await dataPlane.removeRoute(name)
    },
    async 'stop-slot'({ slot }, { name }) {
      prober.forget(name, slot)
      await supervisor.stop(name, slot)
    },
    async 'install-slot'({ slot, intent }, { name }) {
      const { release, incarnation } = intent
      await closeLeftovers(dataPlane, name, slot)
      await releases.install(name, slot, release, placeOf(intent))
      const process = slotProcess(name, slot, intent)
      // Not in place before it has run: a crash in the middle repeats it rather than start what is not prepared.
      await hooks.take(name, () => supervisor.runHook(process, 'beforeStart', HOOK_TIMEOUT_MS))
      await supervisor.install(process)
      verified.set(slot, incarnation)
    },
    async 'start-slot'({ slot }, app) {
      const intent = app.slots[slot]
      if (intent !== null && verified.get(slot) !== intent.incarnation)
        await putRight({ releases, chronicle }, app.name, slot, intent)
      // A later start may find other files than this one.
      verified.delete(slot)
      await supervisor.start(app.name, slot)
    },
    async 'uninstall-slot'({ slot, purge }, app) {
      const workingDir = app.slots[slot]?.definition.workingDir ?? app.definition.slots[slot].workingDir
      await supervisor.uninstall(app.name, slot, { purge })
      await releases.uninstall(app.name, slot, { purge, workingDir })
    },
    async 'forget-app'({ purge }, app) {
      await forget(app, purge)
    },
  }
}

const placeOf = ({ incarnation, definition: { workingDir, user } }: SlotIntent): InstallOptions => ({
  workingDir,
  user,
  incarnation,
})

/**
 * Before a start: files of the release that are not what they were are put there again from the store, whose copy is checked
 * on the way. Throws STATE_CORRUPT if that one is damaged, too.
 */
async function putRight(
  { releases, chronicle }: { readonly releases: ReleaseStore; readonly chronicle: Chronicle },
  app: string,
  slot: Slot,
  intent: SlotIntent,
): Promise<void> {
  const { release, definition } = intent
  const [first, ...others] = await releases.verifySlot(app, release, definition.workingDir)
  if (first === undefined) return
  await releases.install(app, slot, release, placeOf(intent))
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`
  const message = `Files of release ${release} in ${slot} were put right before its start: "${first.path}" ${first.problem}${more}`
  chronicle.record(app, { type: 'files-restored', message, deploy: null }, null)
}

/**
 * Of a slot whose process has ended. A relay keeps a connection for as long as its client keeps its own side of it open; it would
 * count as a user of the next release.
 */
async function closeLeftovers(dataPlane: DataPlane, app: string, slot: Slot): Promise<void> {
  try {
    const left = (await dataPlane.connections(app)).filter((one) => one.slot === slot)
    if (left.length === 0) return
    await dataPlane.closeConnections(
      app,
      left.map(({ id }) => id),
    )
  } catch (error) {
    // Nobody answers on them any more, whether they are closed or not: no reason to fail a deploy.
    if (!hasCode(error, 'DATA_PLANE_FAILED')) throw error
  }
}
