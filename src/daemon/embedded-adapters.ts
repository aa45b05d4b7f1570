import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { EmbeddedHost } from '../dataplane/relay/embedded-host.ts'
import { EmbeddedListeners } from '../dataplane/relay/embedded-listeners.ts'
import type { SlotProcesses } from '../dataplane/dataplane.ts'
import { createRelayPlane } from '../dataplane/relay/relay-plane.ts'
import { createSteeringPlane } from '../dataplane/steering/steering-plane.ts'
import { createProber } from '../health/prober.ts'
import { buildId } from '../platform/build-id.ts'
import { defaultUploadDir } from '../platform/paths.ts'
import { createReleaseStore } from '../releases/release-store.ts'
import { createEmbeddedSupervisor } from '../supervisor/embedded/embedded-supervisor.ts'
import { appOfRoute } from '../core/names.ts'
import type { AdapterContext, Built } from './adapters.ts'

/** Everything under one directory, with child processes for slots; no root is needed. */
export async function embeddedAdapters({ paths, clock, log }: AdapterContext): Promise<Built> {
  await using stack = new AsyncDisposableStack()
  const build = buildId()
  const routesPath = join(paths.relayRun, 'routes.json')
  await mkdir(dirname(defaultUploadDir(paths, 'APP')), { recursive: true })
  await mkdir(paths.relayRun, { recursive: true, mode: 0o700 })
  await mkdir(paths.logs, { recursive: true, mode: 0o700 })
  const supervisor = stack.use(
    await createEmbeddedSupervisor({ stateDir: join(paths.state, 'slots'), logDir: paths.logs, log, clock }),
  )
  const logPath = join(paths.logs, 'relay.log')
  const host = new EmbeddedHost({ folder: paths.relayRun, routesPath, build, logPath })
  const listeners = stack.use(new EmbeddedListeners(host))
  const slotProcesses: SlotProcesses = async (route, slot) =>
    (await supervisor.observe(appOfRoute(route), slot)).pids
  const relay = createRelayPlane({ host, listeners, routesPath, build, slotProcesses, log, clock })
  const dataPlane = stack.use(createSteeringPlane({ relay, pins: null, slotProcesses, log, clock }))
  // Without a route there is nothing that a relay would have to outlive the daemon for.
  stack.defer(async () => {
    if ((await dataPlane.observe()).routes.length === 0) await host.endAll()
  })
  const prober = stack.use(createProber({ clock, log }))
  const releases = await createReleaseStore({
    signersPath: paths.appFiles,
    releasesPath: paths.releases,
    slotsPath: paths.slots,
    clock,
    log,
  })
  const opened = stack.move()
  return {
    adapters: { supervisor, dataPlane, releases, prober },
    groupId: null,
    onReady: () => undefined,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}
