import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { EmbeddedHost } from '../dataplane/relay/embedded-host.ts'
import { EmbeddedListeners } from '../dataplane/relay/embedded-listeners.ts'
import { createRelayPlane } from '../dataplane/relay/relay-plane.ts'
import { createProber } from '../health/prober.ts'
import { buildId } from '../platform/build-id.ts'
import { groupIdOf } from '../platform/accounts.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/log.ts'
import { notifySystemd } from '../platform/notify.ts'
import type { Paths } from '../platform/paths.ts'
import { createReleaseStore } from '../releases/release-store.ts'
import { createEmbeddedSupervisor } from '../supervisor/embedded/embedded-supervisor.ts'
import { SystemdListeners } from '../supervisor/systemd/systemd-listeners.ts'
import { SystemdRelayHost } from '../supervisor/systemd/systemd-relay-host.ts'
import { createSystemdSupervisor } from '../supervisor/systemd/systemd-supervisor.ts'
import { openSystemd } from '../supervisor/systemd/systemd.ts'
import type { Adapters } from './observe.ts'

export interface AdapterContext {
  readonly paths: Paths
  readonly clock: Clock
  readonly log: Logger
}

/** The adapters of one mode, with what else differs between the modes. Disposing it touches neither slots nor routes. */
export interface Built extends AsyncDisposable {
  readonly adapters: Adapters
  /** Group that may use the control socket; null: nobody else. */
  readonly groupId: number | null
  /** The API answers. */
  readonly onReady: () => void
}

/** Everything under one directory, with child processes for slots; no root is needed. */
export async function embeddedAdapters({ paths, clock, log }: AdapterContext): Promise<Built> {
  await using stack = new AsyncDisposableStack()
  const build = buildId()
  const routesPath = join(paths.relayRun, 'routes.json')
  await mkdir(paths.relayRun, { recursive: true, mode: 0o700 })
  await mkdir(paths.logs, { recursive: true, mode: 0o700 })
  const supervisor = stack.use(
    await createEmbeddedSupervisor({ stateDir: join(paths.state, 'slots'), logDir: paths.logs, log, clock }),
  )
  const logPath = join(paths.logs, 'relay.log')
  const host = new EmbeddedHost({ folder: paths.relayRun, routesPath, build, logPath })
  const listeners = stack.use(new EmbeddedListeners(host))
  const dataPlane = stack.use(createRelayPlane({ host, listeners, routesPath, build, log, clock }))
  const prober = stack.use(createProber({ clock, log }))
  const releases = await createReleaseStore({
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
  const dataPlane = stack.use(createRelayPlane({ host, listeners, routesPath, build: buildId(), log, clock }))
  const prober = stack.use(createProber({ clock, log }))
  const releases = await createReleaseStore({
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
