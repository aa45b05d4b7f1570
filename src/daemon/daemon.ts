import type { IncomingMessage } from 'node:http'
import { mkdir } from 'node:fs/promises'
import type { Peer } from '../api/actions.ts'
import type { Version } from '../api/protocol.ts'
import { serveApi } from '../api/server.ts'
import type { Clock } from '../platform/clock.ts'
import { takeLock } from '../platform/lock.ts'
import type { Logger } from '../platform/log.ts'
import type { Paths } from '../platform/paths.ts'
import { userName } from '../platform/accounts.ts'
import { peerCredentials } from '../platform/peer-credentials.ts'
import { createIntentStore } from '../state/intent-store.ts'
import { type Journal, openJournal } from '../state/journal.ts'
import { createActions } from './actions.ts'
import type { Chronicle } from './chronicle.ts'
import type { Adapters } from './observe.ts'
import { Registry } from './registry.ts'

export interface DaemonDeps {
  readonly adapters: Adapters
  readonly clock: Clock
  readonly log: Logger
  readonly paths: Paths
  readonly bootId: string
}

export interface DaemonOptions {
  readonly version: Version
  /** Group that may use the socket; null: only the daemon's own user and root. */
  readonly groupId: number | null
}

/**
 * Brings the control plane up: lock, journal, apps, API. Disposing it leaves slots, routes and connections
 * exactly as they are. Throws BUSY if another daemon has this root.
 */
export async function startDaemon(deps: DaemonDeps, options: DaemonOptions): Promise<AsyncDisposable> {
  const { adapters, clock, log, paths, bootId } = deps
  await using opened = new AsyncDisposableStack()
  opened.use(takeLock(`${paths.run}/dorcd.lock`))
  await mkdir(paths.state, { recursive: true, mode: 0o700 })
  const journal = opened.adopt(openJournal({ path: paths.journal, clock, log }), (open) => open.close())
  const chronicle = chronicleIn(journal)
  const registryDeps = {
    adapters,
    chronicle,
    clock,
    log,
    paths,
    intents: createIntentStore({ dir: paths.intents, bootId }),
  }
  const registry = opened.adopt(new Registry(registryDeps), (open) => open.close())
  adapters.supervisor.onChange((app) => wake(registry, app))
  adapters.prober.onChange((app) => wake(registry, app))
  adapters.dataPlane.onIncident((incident) => chronicle.record(null, { ...incident, deploy: null }, null))
  await registry.open()
  const actions = createActions({ registry, deps: registryDeps, journal, version: options.version })
  const { groupId } = options
  const isRoot = ({ uid }: Peer): boolean => uid === 0 || uid === process.getuid?.()
  opened.use(await serveApi({ socketPath: paths.socket, groupId, actions, peerOf, isRoot, log }))
  chronicle.record(
    null,
    { type: 'daemon-started', message: `dorcd ${options.version.version} started`, deploy: null },
    null,
  )
  return opened.move()
}

function wake(registry: Registry, app: string): void {
  registry.loops.find((loop) => loop.app.name === app)?.wake()
}

function peerOf(request: IncomingMessage): Peer {
  return peerCredentials(request.socket)
}

function chronicleIn(journal: Journal): Chronicle {
  return {
    record(app, { type, message, deploy }, author) {
      const by =
        author === null
          ? null
          : { uid: author.peer.uid, pid: author.peer.pid, user: userName(author.peer.uid) }
      journal.append({ app, type, message, deploy, by })
    },
  }
}
