import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Slot } from '../../src/core/app.ts'
import type { DataPlane, SlotProcesses } from '../../src/dataplane/dataplane.ts'
import { createSteeringPlane } from '../../src/dataplane/steering/steering-plane.ts'
import { EmbeddedHost } from '../../src/dataplane/relay/embedded-host.ts'
import { EmbeddedListeners } from '../../src/dataplane/relay/embedded-listeners.ts'
import { createRelayPlane, type RelayPlane } from '../../src/dataplane/relay/relay-plane.ts'
import { type Clock, systemClock } from '../../src/platform/clock.ts'
import type { Logger } from '../../src/platform/log.ts'

/** A data plane with its processes, ended with the test. */
export interface PlaneUnderTest {
  readonly plane: DataPlane
  /** The daemon side made anew over what still runs, as after a restart of the daemon. */
  restart(): Promise<void>
}

/** Every implementation that has to pass the contract. Steering needs rights that only root has. */
export const dataPlanes: readonly { name: string; open: (t: TestContext) => Promise<PlaneUnderTest> }[] = [
  { name: 'relay', open: openRelay },
  ...(process.getuid?.() === 0 ? [{ name: 'steering', open: openSteering }] : []),
]

/** Which processes are a slot's. What a test serves by itself may be either, and counts as blue. */
export const slotPids: Readonly<Record<Slot, Set<number>>> = {
  blue: new Set([process.pid]),
  green: new Set([process.pid]),
}
const slotProcesses: SlotProcesses = (_app, slot) => Promise.resolve([...slotPids[slot]])

export interface RelayUnderTest extends PlaneUnderTest {
  readonly plane: RelayPlane
  readonly host: EmbeddedHost
  readonly folder: string
  readonly routesPath: string
  readonly logPath: string
  readonly logged: string[]
  readonly log: Logger
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
        slotProcesses,
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
    log,
    async restart(build = 'first') {
      await dispose()
      parts = make(build)
    },
  }
}

/** Over a relay that a test can reach, too: whatever is not steered is carried there. */
export async function openSteering(
  t: TestContext,
  { pins = null, clock = systemClock }: { pins?: string | null; clock?: Clock } = {},
): Promise<PlaneUnderTest> {
  const relay = await openRelay(t)
  const { log } = relay
  const make = (): DataPlane => createSteeringPlane({ relay: relay.plane, pins, slotProcesses, log, clock })
  let plane = make()
  t.after(() => plane[Symbol.asyncDispose]())
  return {
    get plane() {
      return plane
    },
    async restart() {
      await plane[Symbol.asyncDispose]()
      await relay.restart()
      plane = make()
    },
  }
}

function collectingLogger(logged: string[]): Logger {
  const write = (event: string, fields: unknown = {}): void => {
    logged.push(`${event} ${JSON.stringify(fields)}`)
  }
  return { info: write, warn: write, error: write, child: () => collectingLogger(logged) }
}
