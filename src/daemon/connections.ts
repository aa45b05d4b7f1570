import type { Caller } from '../api/actions.ts'
import type { ClosedSoFar, CloseCommand, CloseLine, ConnectionSummary } from '../api/protocol.ts'
import { errorBody } from '../api/server.ts'
import type { Slot } from '../core/app.ts'
import { DorcError } from '../core/errors.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import { pause } from '../platform/pause.ts'
import { type AppLoop, refuseStale } from './app-loop.ts'
import type { Chronicle } from './chronicle.ts'

export interface CloseDeps {
  readonly dataPlane: DataPlane
  readonly chronicle: Chronicle
}

/** Each round makes the data plane list what is there: thousands of connections are closed in few rounds. */
const SHORTEST_ROUND_MS = 500

/** Oldest first; one that nobody saw begin was there before all others. */
export async function listConnections(
  dataPlane: DataPlane,
  { app }: AppLoop,
  slot: Slot | null,
): Promise<ConnectionSummary[]> {
  const all = await dataPlane.connections(app.name)
  return all
    .filter((one) => slot === null || one.slot === slot)
    .toSorted((one, other) => ageOf(other) - ageOf(one))
}

const ageOf = ({ ageMs }: Pick<ConnectionSummary, 'ageMs'>): number => ageMs ?? Number.MAX_SAFE_INTEGER

/**
 * Closes what a slot has now, evenly over `spreadMs`; the rest is left alone as soon as the caller goes, or the slot becomes
 * the active one. Throws BUSY if it is that already, unless forced.
 */
export async function* closeConnections(
  { dataPlane, chronicle }: CloseDeps,
  loop: AppLoop,
  command: CloseCommand,
  { peer, ifMatch, signal }: Caller,
): AsyncGenerator<CloseLine> {
  const { slot, spreadMs } = command
  refuseStale(loop.app, { peer, ifMatch })
  const refusal = (): DorcError | null => (command.force ? null : activeSlotProblem(loop, slot))
  const refused = refusal()
  if (refused !== null) throw refused
  const { ids, ofUnknownAge } = choose(await listConnections(dataPlane, loop, slot), command)
  let soFar: ClosedSoFar = { found: ids.length, closed: 0, gone: 0, ofUnknownAge }
  const startedAt = performance.now()
  try {
    for (let at = 0; at < ids.length && !signal.aborted; ) {
      const problem = refusal()
      if (problem !== null) return yield doneLine(slot, soFar, problem)
      const due = dueAfter(performance.now() - startedAt, ids.length, spreadMs)
      const closed = await dataPlane.closeConnections(loop.app.name, ids.slice(at, due))
      const gone = Math.max(0, due - at - closed)
      soFar = { ...soFar, closed: soFar.closed + closed, gone: soFar.gone + gone }
      at = due
      yield { kind: 'closing', ...soFar }
      if (at < ids.length) await pause(Math.max(SHORTEST_ROUND_MS, spreadMs / ids.length), signal)
    }
    yield doneLine(slot, soFar, null)
  } finally {
    if (soFar.closed > 0) {
      const message = `Closed ${soFar.closed} of ${soFar.found} connections of ${slot}`
      chronicle.record(
        loop.app.name,
        { type: 'connections-closed', message, deploy: null },
        { peer, ifMatch },
      )
    }
    loop.wake()
  }
}

/** How many should be closed by then: the first at once, the last one round before the end. */
export function dueAfter(elapsedMs: number, count: number, spreadMs: number): number {
  if (elapsedMs >= spreadMs) return count
  return Math.min(count, Math.floor((elapsedMs / spreadMs) * count) + 1)
}

/** Of unknown age: dorc did not see it begin. It may be of this minute, so that it counts as older only if that is asked for. */
function choose(
  connections: readonly ConnectionSummary[],
  { olderMs, unknownAge }: CloseCommand,
): { ids: string[]; ofUnknownAge: number } {
  const isUnknown = ({ ageMs }: ConnectionSummary): boolean =>
    olderMs !== null && ageMs === null && !unknownAge
  const chosen = connections.filter((one) => !isUnknown(one) && (olderMs === null || ageOf(one) >= olderMs))
  return { ids: chosen.map(({ id }) => id), ofUnknownAge: connections.filter(isUnknown).length }
}

function activeSlotProblem({ app }: AppLoop, slot: Slot): DorcError | null {
  if (app.activeSlot !== slot) return null
  const message = `Cannot close the connections of "${app.name}" with ${slot}: it is the active slot`
  return new DorcError('BUSY', message, {
    hint: `Whoever is cut comes back to the same slot. To close them all the same: dorc close ${app.name} --slot ${slot} --force`,
  })
}

function doneLine(slot: Slot, soFar: ClosedSoFar, problem: DorcError | null): CloseLine {
  const message =
    soFar.found === 0
      ? `There is nothing to close in ${slot}`
      : `Closed ${soFar.closed} of ${soFar.found} connections with ${slot}`
  const error = problem === null ? null : errorBody(problem).error
  return { kind: 'done', ok: problem === null, message: problem?.message ?? message, error, ...soFar }
}
