import type { AppStatus } from '../../api/protocol.ts'
import { SLOTS } from '../../core/app.ts'
import { plainText } from '../plain-text.ts'
import { counted, formatAgo, formatBytes } from '../quantity.ts'
import { shorten } from '../table.ts'
import type { StatusOptions } from './format-status.ts'
import { stateWord } from './slot-words.ts'

/** The slots below each other, for a terminal too narrow for the table. */
export function slotBlocks(app: AppStatus, { paint, columns, now }: StatusOptions): string[] {
  return SLOTS.flatMap((slot) => {
    const { release, since, connections, memoryBytes, lastProbe, state } = app.slots[slot]
    const isActive = app.active === slot
    const mark = isActive ? paint[slot]('●') : paint.dim('○')
    const first = [
      ...(release === null ? [] : [`release ${release}`]),
      stateWord(app.slots[slot], paint),
      ...(since === null || state === 'empty' ? [] : [formatAgo(since, now)]),
    ]
    const second = [
      counted(connections, 'connection'),
      ...(memoryBytes === null ? [] : [formatBytes(memoryBytes)]),
    ]
    const lines = [`  ${mark} ${paint[slot](slot.padEnd(5))}  ${first.join(', ')}`]
    if (state !== 'empty') lines.push(`           ${second.join(', ')}`)
    if (lastProbe !== null) {
      const detail = shorten(plainText(lastProbe.detail), columns === null ? Infinity : columns - 11)
      lines.push(`           ${lastProbe.ok ? detail : paint.bad(detail)}`)
    }
    return lines
  })
}
