import { dorcErrorFrom } from '../../api/client.ts'
import type { ProgressLine } from '../../api/protocol.ts'
import type { DeployState, Slot } from '../../core/app.ts'
import { DorcError } from '../../core/errors.ts'
import { untilInterrupted } from '../interrupt.ts'
import { formatWhy } from '../run/why.ts'
import type { Session } from '../session.ts'
import { LiveProgress } from './live-progress.ts'
import { progressText } from './progress-text.ts'

export type Done = Extract<ProgressLine, { kind: 'done' }>

export interface FollowOptions {
  readonly app: string
  readonly open: (signal: AbortSignal) => AsyncIterable<ProgressLine>
  /** What to tell when it has ended well. */
  readonly onDone: (done: Done) => void
}

/**
 * Shows how a deploy or a switch goes on, until its end: one live line on a terminal, plain lines elsewhere, the
 * daemon's own lines with --json. Throws the reason if it ends badly. Ctrl-C stops the following only.
 */
export function followProgress(session: Session, { app, open, onDone }: FollowOptions): Promise<void> {
  return untilInterrupted(
    async (signal) => {
      const done = await lastLine(session, app, open(signal))
      if (signal.aborted) return
      if (done === null) {
        throw new DorcError('DAEMON_FAILED', 'The daemon stopped telling how it goes', {
          hint: `See how it ended: dorc status ${app}`,
        })
      }
      if (done.error !== null) {
        if (done.slot !== null) await tellWhy(session, app, done.slot)
        throw dorcErrorFrom(done.error)
      }
      onDone(done)
    },
    () => `No longer following; what was begun goes on. See: dorc status ${app}`,
  )
}

/** What `dorc why` would say. Not worth failing for: the failure itself is told in any case. */
async function tellWhy(session: Session, app: string, slot: Slot): Promise<void> {
  if (session.isJson) return
  const report = await session.daemon.why(app, slot).catch(() => null)
  if (report !== null && report.verdict !== null) session.say(`\n${formatWhy(report, session.paint)}\n`)
}

function lastLine(session: Session, app: string, lines: AsyncIterable<ProgressLine>): Promise<Done | null> {
  if (session.isJson) return consume(lines, (line) => session.document(line))
  return session.isTerminal ? showLive(session, app, lines) : showPlain(session, lines)
}

async function consume(
  lines: AsyncIterable<ProgressLine>,
  each: (line: ProgressLine) => void | Promise<void>,
): Promise<Done | null> {
  for await (const line of lines) {
    await each(line)
    if (line.kind === 'done') return line
  }
  return null
}

/** Only what is worth a line in a log: no counting of bytes, and a probe when its answer changes. */
function showPlain(session: Session, lines: AsyncIterable<ProgressLine>): Promise<Done | null> {
  let told = ''
  return consume(lines, (line) => {
    if (line.kind === 'take-in') return
    const text = progressText(line, session.paint)
    const identity = line.kind === 'probe' ? String(line.ok) : `${line.kind} ${stateOf(line)}`
    if (text !== null && identity !== told) session.say(text)
    told = identity
  })
}

const stateOf = (line: ProgressLine): string => {
  if (line.kind === 'deploy') return line.deploy.state
  return line.kind === 'waiting' ? line.reason : ''
}

async function showLive(
  { daemon, paint }: Session,
  app: string,
  lines: AsyncIterable<ProgressLine>,
): Promise<Done | null> {
  using live = new LiveProgress(paint)
  return await consume(lines, async (line) => {
    // A line stays the same while its phase lasts, so that it is told once; when the phase ends is in the status.
    const mayTimeOut = line.kind === 'deploy' && TIMED.has(line.deploy.state)
    const deadline = mayTimeOut ? ((await daemon.app(app)).deploy?.deadline ?? null) : null
    live.show(line, deadline)
  })
}

const TIMED: ReadonlySet<DeployState> = new Set<DeployState>(['draining', 'preparing', 'switching', 'baking'])
