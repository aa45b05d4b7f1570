import { dorcErrorFrom } from '../../api/client.ts'
import type { CloseLine } from '../../api/protocol.ts'
import type { Slot } from '../../core/app.ts'
import { DorcError } from '../../core/errors.ts'
import { untilInterrupted } from '../interrupt.ts'
import { LiveLine } from '../progress/live-line.ts'
import { counted } from '../quantity.ts'
import { type CommonFlags, openSession, type Session } from '../session.ts'

export interface CloseFlags extends CommonFlags {
  readonly slot: Slot
  readonly older: number | undefined
  readonly unknownAge: boolean | undefined
  readonly spread: number | undefined
  readonly force: boolean | undefined
}

export async function close(flags: CloseFlags, app: string): Promise<void> {
  const session = openSession(flags)
  const seen = await session.daemon.app(app)
  const command = {
    slot: flags.slot,
    olderMs: flags.older ?? null,
    unknownAge: flags.unknownAge === true,
    spreadMs: flags.spread ?? 0,
    force: flags.force === true,
  }
  let last: CloseLine | null = null
  await untilInterrupted(
    async (signal) => {
      for await (const line of shown(session, session.daemon.close(app, command, seen, signal))) last = line
      if (!signal.aborted) tellEnd(session, app, last)
    },
    () => `Stopped: ${counted(last?.closed ?? 0, 'connection')} closed, the others stay`,
  )
}

async function* shown(session: Session, lines: AsyncIterable<CloseLine>): AsyncGenerator<CloseLine> {
  using live = session.isTerminal ? new LiveLine(process.stdout) : null
  for await (const line of lines) {
    if (session.isJson) session.document(line)
    live?.show(() => `Closing: ${line.closed + line.gone} of ${line.found}`)
    yield line
  }
}

function tellEnd({ say, paint }: Session, app: string, last: CloseLine | null): void {
  if (last?.kind !== 'done') {
    throw new DorcError('DAEMON_FAILED', 'The daemon stopped telling how it goes', {
      hint: `See who is left: dorc conns ${app}`,
    })
  }
  if (last.error !== null) throw dorcErrorFrom(last.error)
  say(`${paint.good('✔')} ${last.message}`)
  if (last.gone > 0) say(`  ${last.gone} had ended by then`)
  if (last.ofUnknownAge > 0)
    say(
      `  ${counted(last.ofUnknownAge, 'connection')} of unknown age left alone (--unknown-age closes them, too)`,
    )
}
