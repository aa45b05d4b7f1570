import type { App } from '../core/app.ts'
import { slotProcess } from '../core/slot-process.ts'
import type { Executors } from './executors.ts'
import type { Adapters } from './observe.ts'

export interface ExecuteOptions {
  /** Deletes what is kept of an app beside its units, routes and slots. */
  readonly forget: (app: App, purge: boolean) => Promise<void>
}

/** What each step does to the host. */
export function executorsFor(
  { supervisor, dataPlane, releases, prober }: Adapters,
  { forget }: ExecuteOptions,
): Executors {
  return {
    async route({ target, paused, guardedPorts }, { name, definition }) {
      const { listen, holdTimeoutMs } = definition
      await dataPlane.setRoute({ app: name, listen, target, paused, holdTimeoutMs, guardedPorts })
    },
    async unroute(_step, { name }) {
      await dataPlane.removeRoute(name)
    },
    async 'stop-slot'({ slot }, { name }) {
      prober.forget(name, slot)
      await supervisor.stop(name, slot)
    },
    async 'install-slot'({ slot, intent }, { name }) {
      const { release, incarnation, definition } = intent
      await releases.install(name, slot, release, { workingDir: definition.workingDir, incarnation })
      await supervisor.install(slotProcess(name, slot, intent))
    },
    async 'start-slot'({ slot }, { name }) {
      await supervisor.start(name, slot)
    },
    async 'uninstall-slot'({ slot, purge }, app) {
      const workingDir = app.slots[slot]?.definition.workingDir ?? app.definition.slots[slot].workingDir
      await supervisor.uninstall(app.name, slot)
      await releases.uninstall(app.name, slot, { purge, workingDir })
    },
    async 'forget-app'({ purge }, app) {
      await forget(app, purge)
    },
  }
}
