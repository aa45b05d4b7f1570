import type { StreamQuery } from '../../api/client.ts'
import type { JournalEvent, LogEntry } from '../../api/protocol.ts'
import type { Slot } from '../../core/app.ts'
import { untilInterrupted } from '../interrupt.ts'
import type { Paint } from '../paint.ts'
import { plainText } from '../plain-text.ts'
import { formatTime } from '../quantity.ts'
import { type CommonFlags, openSession, type Session } from '../session.ts'

export interface EventsFlags extends CommonFlags {
  readonly follow: boolean | undefined
  readonly lines: number
}

export interface LogsFlags extends EventsFlags {
  readonly slot: Slot | undefined
}

export async function logs(flags: LogsFlags, app: string): Promise<void> {
  const session = openSession(flags)
  await print(
    session,
    (signal) => session.daemon.logs(app, flags.slot ?? null, queryOf(flags), signal),
    formatLogEntry,
  )
}

export async function events(flags: EventsFlags, app?: string): Promise<void> {
  const session = openSession(flags)
  await print(session, (signal) => session.daemon.events(app ?? null, queryOf(flags), signal), formatEvent)
}

const queryOf = ({ lines, follow }: EventsFlags): StreamQuery => ({ lines, follow: follow === true })

/** Ctrl-C is the ordinary end of what follows: nothing to say about it. */
function print<T>(
  session: Session,
  open: (signal: AbortSignal) => AsyncIterable<T>,
  format: (entry: T, paint: Paint) => string,
): Promise<void> {
  return untilInterrupted(
    async (signal) => {
      for await (const entry of open(signal)) {
        if (session.isJson) session.document(entry)
        session.say(format(entry, session.paint))
      }
    },
    () => null,
  )
}

export function formatLogEntry({ at, slot, text }: LogEntry, paint: Paint): string {
  return `${paint.dim(formatTime(at))} ${paint[slot](slot.padEnd(5))} ${plainText(text)}`
}

export function formatEvent({ at, app, message, by }: JournalEvent, paint: Paint): string {
  const who = by === null ? '' : paint.dim(`  (${plainText(by.user ?? `uid ${by.uid}`)})`)
  const name = app === null ? '' : `${paint.name(plainText(app))}  `
  return `${paint.dim(formatTime(at))} ${name}${plainText(message)}${who}`
}
