import { dorcErrorFrom } from '../../api/client.ts'
import type { ProgressLine } from '../../api/protocol.ts'
import { DorcError } from '../../core/errors.ts'
import { untilInterrupted } from '../interrupt.ts'
import { noPaint } from '../paint.ts'
import { formatDuration } from '../quantity.ts'
import type { Session } from '../session.ts'
import { LiveLine } from './live-line.ts'
import { isPassing, progressText } from './progress-text.ts'

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
      const done = await lastLine(session, open(signal))
      if (signal.aborted) return
      if (done === null) {
        throw new DorcError('DAEMON_FAILED', 'The daemon stopped telling how it goes', {
          hint: `See how it ended: dorc status ${app}`,
        })
      }
      if (done.error !== null) throw dorcErrorFrom(done.error)
      onDone(done)
    },
    () => `\nNo longer following; what was begun goes on. See: dorc status ${app}`,
  )
}

function lastLine(session: Session, lines: AsyncIterable<ProgressLine>): Promise<Done | null> {
  if (session.isJson) return consume(lines, (line) => session.document(line))
  return session.isTerminal ? showLive(session, lines) : showPlain(session, lines)
}

async function consume(
  lines: AsyncIterable<ProgressLine>,
  each: (line: ProgressLine) => void,
): Promise<Done | null> {
  for await (const line of lines) {
    each(line)
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

async function showLive(session: Session, lines: AsyncIterable<ProgressLine>): Promise<Done | null> {
  using live = new LiveLine(process.stdout)
  let phase = ''
  return await consume(lines, (line) => {
    const text = progressText(line, session.paint)
    if (text === null) return
    const bare = progressText(line, noPaint) ?? ''
    if (line.kind === 'probe') {
      live.show(() => `${phase}: ${bare}`)
      return
    }
    const startedAt = Date.now()
    const deadline = line.kind === 'deploy' ? line.deploy.deadline : null
    if (!isPassing(line)) live.keep(`${session.paint.dim('•')} ${text}`)
    phase = bare
    live.show(() => `${bare}${timeText(deadline, startedAt)}`)
  })
}

function timeText(deadline: string | null, startedAt: number): string {
  if (deadline === null) return `, ${formatDuration(Date.now() - startedAt)}`
  return `, ${formatDuration(Date.parse(deadline) - Date.now())} left`
}
