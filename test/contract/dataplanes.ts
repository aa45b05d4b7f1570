import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { DataPlane } from '../../src/dataplane/dataplane.ts'
import { EmbeddedHost } from '../../src/dataplane/relay/embedded-host.ts'
import { EmbeddedListeners } from '../../src/dataplane/relay/embedded-listeners.ts'
import { createRelayPlane, type RelayPlane } from '../../src/dataplane/relay/relay-plane.ts'
import { systemClock } from '../../src/platform/clock.ts'
import type { Logger } from '../../src/platform/log.ts'

/** A data plane with its processes, ended with the test. */
export interface PlaneUnderTest {
  readonly plane: DataPlane
  /** The daemon side made anew over what still runs, as after a restart of the daemon. */
  restart(): Promise<void>
}

/** Every implementation that has to pass the contract. */
export const dataPlanes: readonly { name: string; open: (t: TestContext) => Promise<PlaneUnderTest> }[] = [
  { name: 'relay', open: openRelay },
]

export interface RelayUnderTest extends PlaneUnderTest {
  readonly plane: RelayPlane
  readonly host: EmbeddedHost
  readonly folder: string
  readonly routesPath: string
  readonly logPath: string
  readonly logged: string[]
  /** As an upgrade of dorc does: a new daemon side of another build. */
  restart(build?: string): Promise<void>
}

export async function openRelay(t: TestContext, wrapper: readonly string[] = []): Promise<RelayUnderTest> {
  const folder = mkdtempSync(join(tmpdir(), 'dorc-relay-'))
  const routesPath = join(folder, 'routes.json')
  const logPath = join(folder, 'relay.log')
  const logged: string[] = []
  const log = collectingLogger(logged)
  const make = (build: string) => {
    const host = new EmbeddedHost({ folder, routesPath, build, logPath, wrapper })
    const listeners = new EmbeddedListeners(host)
    return {
      host,
      listeners,
      plane: createRelayPlane({
        host,
        listeners,
        routesPath,
        build,
        slotProcesses: () => Promise.resolve([process.pid]),
        log,
        clock: systemClock,
      }),
    }
  }
  let parts = make('first')
  const dispose = async (): Promise<void> => {
    await parts.plane[Symbol.asyncDispose]()
    parts.listeners[Symbol.dispose]()
  }
  t.after(async () => {
    await dispose()
    await parts.host.endAll()
    rmSync(folder, { recursive: true, force: true })
  })
  return {
    get plane() {
      return parts.plane
    },
    get host() {
      return parts.host
    },
    folder,
    routesPath,
    logPath,
    logged,
    async restart(build = 'first') {
      await dispose()
      parts = make(build)
    },
  }
}

function collectingLogger(logged: string[]): Logger {
  const write = (event: string, fields: unknown = {}): void => {
    logged.push(`${event} ${JSON.stringify(fields)}`)
  }
  return { info: write, warn: write, error: write, child: () => collectingLogger(logged) }
}
