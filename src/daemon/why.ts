import type { LogEntry, WhyReport } from '../api/protocol.ts'
import { type App, type ReleaseNumber, type Slot } from '../core/app.ts'
import { diagnose, lastGood, slotInTrouble } from '../core/diagnosis.ts'
import { hasCode } from '../core/errors.ts'
import { portsOf } from '../platform/port-listener.ts'
import { compareManifests } from '../releases/compare-manifests.ts'
import type { ReleaseStore } from '../releases/release-store.ts'
import type { EndedRun, Supervisor } from '../supervisor/supervisor.ts'
import type { AppLoop } from './app-loop.ts'
import type { Adapters } from './observe.ts'
import { slotState } from './status.ts'

const LOG_LINES = 50
const MOST_CHANGES = 20

/** `dorc why`: all that is known of a slot that does not do what it should. `chosen` null: the one in trouble. */
export async function why(
  loop: AppLoop,
  chosen: Slot | null,
  { supervisor, prober, releases }: Adapters,
): Promise<WhyReport> {
  const { observed, units, probes } = await loop.look()
  const { app } = loop
  const slot = chosen ?? slotInTrouble(app, observed)
  const unit = units[slot]
  const listening = portsOf(unit.pids)
  const release = app.slots[slot]?.release ?? null
  const { verdict, next } = diagnose(app, slot, { observed, listensOn: listening })
  const probe = probes[slot]
  return {
    app: app.name,
    slot,
    release,
    state: slotState(app, slot, observed),
    verdict,
    exit: unit.lastExit,
    restarts: unit.restarts,
    log: await lastWords(supervisor, { app: app.name, slot, run: unit.endedRun }),
    ports: { expected: app.slots[slot]?.definition.port ?? app.definition.slots[slot].port, listening },
    probe: probe === null ? null : { request: prober.request(app.name, slot), ...probe },
    changes: verdict === null || release === null ? null : changesSince(app, release, releases),
    next,
  }
}

/** Of a process that ended, what it wrote: the one that runs now may have said nothing yet. */
async function lastWords(
  supervisor: Supervisor,
  { app, slot, run }: { app: string; slot: Slot; run: EndedRun | null },
): Promise<LogEntry[]> {
  const options = { lines: LOG_LINES, follow: false, run, signal: new AbortController().signal }
  return await Array.fromAsync(supervisor.logs(app, slot, options))
}

function changesSince(app: App, release: ReleaseNumber, releases: ReleaseStore): WhyReport['changes'] {
  const since = lastGood(app, release)
  if (since === null) return null
  try {
    const files = compareManifests(releases.manifest(app.name, since), releases.manifest(app.name, release))
    return { since, files: files.slice(0, MOST_CHANGES), more: Math.max(0, files.length - MOST_CHANGES) }
  } catch (error) {
    // Deleted since, or damaged: `dorc releases` tells of that.
    if (hasCode(error, 'RELEASE_UNKNOWN') || hasCode(error, 'STATE_CORRUPT')) return null
    throw error
  }
}
