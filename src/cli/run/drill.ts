import type { AppStatus } from '../../api/protocol.ts'
import { otherSlot, type Slot } from '../../core/app.ts'
import { DorcError } from '../../core/errors.ts'
import { tallyText } from '../../core/receipt.ts'
import { addressesOf } from '../../platform/visit.ts'
import { KeptConnections } from '../drill/kept-connections.ts'
import { DrillLoad } from '../drill/load.ts'
import { killDaemon, refuseUnfit, restore, type Switched, switchOnce } from '../drill/rehearsal.ts'
import { type DrillReport, formatReport, isGood, latencyOf } from '../drill/report.ts'
import { errorDocument } from '../error-text.ts'
import { untilInterrupted } from '../interrupt.ts'
import { LiveLine } from '../progress/live-line.ts'
import { type CommonFlags, openSession, type Session } from '../session.ts'

export interface DrillFlags extends CommonFlags {
  readonly switches: number
  readonly hold: number
  readonly killDaemon: boolean | undefined
}

export async function drill(flags: DrillFlags, app: string): Promise<void> {
  const session = openSession(flags)
  const before = await session.daemon.app(app)
  refuseUnfit(before)
  if (flags.killDaemon) await refuseUnkillable(session, app)
  await untilInterrupted(
    async (signal) => {
      const report = await rehearse(session, { flags, before, signal: endedBy(signal) })
      if (session.isJson) session.document(report)
      session.say(formatReport(report, session.paint))
      if (!report.ok) process.exitCode = 1
    },
    () => 'Interrupted',
  )
}

/** Whoever ends the command politely gets his active slot back, too. */
function endedBy(interrupted: AbortSignal): AbortSignal {
  const terminated = new AbortController()
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.once(signal, () => terminated.abort())
  return AbortSignal.any([interrupted, terminated.signal])
}

interface Rehearsal {
  readonly flags: DrillFlags
  readonly before: AppStatus
  readonly signal: AbortSignal
}

async function rehearse(session: Session, rehearsal: Rehearsal): Promise<DrillReport> {
  const { flags, before, signal } = rehearsal
  const addresses = addressesOf(listenOf(before))
  const [address = listenOf(before)] = addresses
  const held = await KeptConnections.open(address, before.request, flags.hold)
  const load = new DrillLoad(addresses, before.request)
  const done: Switched[] = []
  let error: unknown = null
  let active: Slot | null = null
  try {
    await switchToAndFro(session, rehearsal, { load, done })
  } catch (thrown) {
    error = thrown
  }
  try {
    active = await restore(session.daemon, before)
  } catch (thrown) {
    error ??= thrown
  }
  await load.stop()
  const report = {
    app: before.name,
    asked: flags.switches,
    switches: done.length,
    ...load.tally,
    latency: latencyOf(done.flatMap(({ latencyMs }) => latencyMs ?? [])),
    held: { opened: held.opened, kept: await held.close() },
    wasDaemonKilled: flags.killDaemon === true && done.length >= killBefore(flags),
    wasInterrupted: signal.aborted,
    active,
    isRestored: active === before.active,
    error: error === null ? null : errorDocument(error).error,
    receipts: done.flatMap(({ receipt }) => receipt ?? []),
  }
  return { ...report, ok: isGood(report) }
}

/** The daemon dies in the middle: switches before and after it. */
const killBefore = ({ switches }: DrillFlags): number => Math.floor(switches / 2)

async function switchToAndFro(
  { daemon, isTerminal }: Session,
  { flags, before, signal }: Rehearsal,
  { load, done }: { load: DrillLoad; done: Switched[] },
): Promise<void> {
  using live = isTerminal ? new LiveLine(process.stdout) : null
  live?.show(() => `Switch ${done.length + 1} of ${flags.switches}: ${tallyText(load.tally)}`)
  let to = otherSlot(before.active)
  while (done.length < flags.switches && !signal.aborted) {
    if (flags.killDaemon && done.length === killBefore(flags)) await killDaemon(daemon)
    const switched = await switchOnce(daemon, before.name, to, signal)
    if (switched === null) return
    done.push(switched)
    to = otherSlot(to)
  }
}

/** As the daemon writes it: `0.0.0.0:80`, `[::]:80`. */
function listenOf({ listen }: AppStatus): { host: string; port: number } {
  const at = listen.lastIndexOf(':')
  return { host: listen.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(listen.slice(at + 1)) }
}

async function refuseUnkillable({ daemon }: Session, app: string): Promise<void> {
  const { supervisor } = await daemon.version()
  if (supervisor === 'embedded') {
    throw new DorcError('FORBIDDEN', 'Cannot kill an embedded daemon: nobody would start it again', {
      hint: `Drill without: dorc drill ${app}`,
    })
  }
  if (process.geteuid?.() === 0) return
  throw new DorcError('FORBIDDEN', 'Killing the daemon needs root', {
    hint: `Run: sudo dorc drill ${app} --kill-daemon`,
  })
}
