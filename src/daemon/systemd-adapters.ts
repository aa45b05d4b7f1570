import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { SlotProcesses } from '../dataplane/dataplane.ts'
import { createRelayPlane } from '../dataplane/relay/relay-plane.ts'
import { createSteeringPlane } from '../dataplane/steering/steering-plane.ts'
import { createProber } from '../health/prober.ts'
import { buildId } from '../platform/build-id.ts'
import { groupIdOf } from '../platform/accounts.ts'
import { notifySystemd } from '../platform/notify.ts'
import { createReleaseStore } from '../releases/release-store.ts'
import { SystemdListeners } from '../supervisor/systemd/systemd-listeners.ts'
import { SystemdRelayHost } from '../supervisor/systemd/systemd-relay-host.ts'
import { createSystemdSupervisor } from '../supervisor/systemd/systemd-supervisor.ts'
import { openSystemd } from '../supervisor/systemd/systemd.ts'
import { appOfRoute } from '../core/names.ts'
import type { AdapterContext, Built } from './adapters.ts'

/** Slots and relays as units, public sockets in process 1. Needs what `dorc setup` has installed. */
export async function systemdAdapters({ paths, clock, log }: AdapterContext): Promise<Built> {
  await using stack = new AsyncDisposableStack()
  const routesPath = join(paths.relayRun, 'routes.json')
  // Relays run as a user of their own and read it.
  await mkdir(paths.relayRun, { recursive: true, mode: 0o755 })
  const systemd = stack.use(await openSystemd())
  const units = { systemd, unitDir: paths.units }
  const supervisor = stack.use(await createSystemdSupervisor({ ...units, stateDir: paths.state, log }))
  const host = new SystemdRelayHost(units)
  const listeners = new SystemdListeners(units)
  const slotProcesses: SlotProcesses = async (route, slot) =>
    (await supervisor.observe(appOfRoute(route), slot)).pids
  const relay = createRelayPlane({ host, listeners, routesPath, build: buildId(), slotProcesses, log, clock })
  const dataPlane = stack.use(createSteeringPlane({ relay, pins: paths.bpf, slotProcesses, log, clock }))
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
    groupId: groupIdOf(OPERATORS),
    onReady: () => notifySystemd('READY=1'),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}

/** Whoever is in this group may use the control socket. */
const OPERATORS = 'dorc'
