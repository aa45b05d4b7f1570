import type { AppStatus } from '../../api/protocol.ts'
import { type Slot, SLOTS } from '../../core/app.ts'
import { plainText } from '../plain-text.ts'
import { formatAgo, formatBytes } from '../quantity.ts'
import { type Column, formatTable, shorten, widthOf } from '../table.ts'
import type { StatusOptions } from './format-status.ts'
import { stateWord } from './slot-words.ts'

const COLUMNS: readonly Column[] = [
  { title: '' },
  { title: 'SLOT' },
  { title: 'REL', align: 'right' },
  { title: 'STATE' },
  { title: 'SINCE' },
  { title: 'PORT', align: 'right' },
  { title: 'CONNS', align: 'right' },
  { title: 'MEMORY', align: 'right' },
]

/** One row for each slot, the active one marked; the last probe takes what room is left. */
export function slotTable(app: AppStatus, options: StatusOptions): string[] {
  const { paint, columns } = options
  const [titles = '', ...rows] = formatTable(
    COLUMNS,
    SLOTS.map((slot) => cells(app, slot, options)),
  )
  const width = Math.max(...[titles, ...rows].map(widthOf))
  const room = columns === null ? Infinity : columns - width - 4
  const besides = (line: string, more: string): string =>
    `  ${line}${' '.repeat(width - widthOf(line))}  ${more}`.trimEnd()
  return [
    paint.dim(besides(titles, 'LAST PROBE')),
    ...SLOTS.map((slot, at) => besides(rows[at] ?? '', lastProbe(app, slot, room, options))),
  ]
}

function cells(app: AppStatus, slot: Slot, { paint, now }: StatusOptions): string[] {
  const { release, since, port, connections, memoryBytes, state } = app.slots[slot]
  const isActive = app.active === slot
  return [
    isActive ? paint[slot]('●') : paint.dim('○'),
    paint[slot](slot),
    release === null ? '-' : String(release),
    stateWord(app.slots[slot], paint),
    since === null || state === 'empty' ? '-' : formatAgo(since, now),
    String(port),
    String(connections),
    memoryBytes === null ? '-' : formatBytes(memoryBytes),
  ]
}

function lastProbe(app: AppStatus, slot: Slot, room: number, { paint }: StatusOptions): string {
  const probe = app.slots[slot].lastProbe
  if (probe === null) return '-'
  const detail = shorten(plainText(probe.detail), room)
  return probe.ok ? detail : paint.bad(detail)
}
