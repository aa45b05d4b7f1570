import type { ConnectionSummary } from '../../api/protocol.ts'
import { type Slot, SLOTS } from '../../core/app.ts'
import type { Paint } from '../paint.ts'
import { plainText } from '../plain-text.ts'
import { counted, formatBytes, formatDuration } from '../quantity.ts'
import { type CommonFlags, openSession } from '../session.ts'
import { formatTable } from '../table.ts'

export interface ConnsFlags extends CommonFlags {
  readonly slot: Slot | undefined
  readonly lines: number | undefined
}

const LINES_ON_TERMINAL = 20

export async function conns(flags: ConnsFlags, app: string): Promise<void> {
  const session = openSession(flags)
  const [{ active }, connections] = await Promise.all([
    session.daemon.app(app),
    session.daemon.connections(app, flags.slot ?? null),
  ])
  if (session.isJson) session.document({ connections })
  const most = flags.lines ?? (session.isTerminal ? LINES_ON_TERMINAL : Infinity)
  session.say(formatConnections(connections, { active, most, paint: session.paint }))
}

export interface ConnsOptions {
  readonly active: Slot
  /** Rows of each slot. */
  readonly most: number
  readonly paint: Paint
}

/** The slots one after the other, each in the order given. Pure. */
export function formatConnections(
  connections: readonly ConnectionSummary[],
  { active, most, paint }: ConnsOptions,
): string {
  if (connections.length === 0) return 'Nobody is connected.'
  const columns = [
    { title: 'SLOT' },
    { title: 'AGE', align: 'right' },
    { title: 'PEER' },
    { title: 'IN', align: 'right' },
    { title: 'OUT', align: 'right' },
    { title: 'PROCESS' },
    { title: 'VIA' },
  ] as const
  const bySlot = SLOTS.map((slot) => ({ slot, all: connections.filter((one) => one.slot === slot) }))
  const shown = bySlot.flatMap(({ all }) => all.slice(0, most))
  const [titles = '', ...rows] = formatTable(
    columns,
    shown.map((one) => row(one, paint)),
  )
  const hidden = bySlot.flatMap(({ slot, all }) =>
    all.length > most
      ? [paint.dim(`… ${all.length - most} more on ${slot} (-n ${all.length} shows them)`)]
      : [],
  )
  const counts = bySlot
    .filter(({ all }) => all.length > 0)
    .map(({ slot, all }) => `${all.length} on ${paint[slot](slot)}${slot === active ? ' (active)' : ''}`)
  const sum = `${counted(connections.length, 'connection')}: ${counts.join(', ')}`
  return [...(rows.length > 0 ? [paint.dim(titles), ...rows] : []), ...hidden, sum].join('\n')
}

function row(
  { slot, ageMs, peer, bytesIn, bytesOut, process, via }: ConnectionSummary,
  paint: Paint,
): string[] {
  const { host, port } = peer
  return [
    paint[slot](slot),
    ageMs === null ? '?' : formatDuration(ageMs),
    `${host.includes(':') ? `[${host}]` : host}:${port}`,
    formatBytes(bytesIn),
    formatBytes(bytesOut),
    process === null ? '-' : `${plainText(process.command)} (${process.pid})`,
    via,
  ]
}
