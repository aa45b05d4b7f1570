import type { ProgressLine } from '../../api/protocol.ts'
import { reachedWrongSlot, type Receipt, receiptText } from '../../core/receipt.ts'
import type { Paint } from '../paint.ts'
import { plainText } from '../plain-text.ts'
import { counted, formatBytes, formatDuration } from '../quantity.ts'

/** One line of progress in words; null for what the next line, or the end, tells better. */
export function progressText(line: ProgressLine, paint: Paint): string | null {
  switch (line.kind) {
    case 'take-in':
      return `Taking the release in: ${counted(line.files, 'file')}, ${formatBytes(line.bytes)}`
    case 'taken-in':
      return `Release ${line.release} is taken in: ${counted(line.files, 'file')}, ${formatBytes(line.bytes)}`
    case 'draining':
      return drainingText(line)
    case 'deploy':
      return deployText(line.deploy, paint)
    case 'probe':
      return `Probe of ${paint[line.slot](line.slot)}: ${line.ok ? 'passed' : paint.warn('not yet')}, ${plainText(line.detail)}`
    case 'waiting':
      return plainText(line.reason)
    case 'receipt':
      return receiptLine(line, paint)
    case 'done':
      return null
    default:
      return line satisfies never
  }
}

/** With no more than a terminal's line has room for: who they are is in `dorc conns`. */
function drainingText({
  connections,
  secondsLeft,
  oldestMs,
  peers,
}: Extract<ProgressLine, { kind: 'draining' }>): string | null {
  if (connections === 0) return null
  const oldest = oldestMs === null ? '' : `, the oldest of ${formatDuration(oldestMs)}`
  const listed = peers.map((peer) => `${plainText(peer.host)} (${peer.connections})`).join(', ')
  const from = peers.length === 0 ? '' : `, from ${listed}`
  return `Waiting for ${counted(connections, 'old connection')} to end${oldest}${from} (cut in ${secondsLeft} s)`
}

function receiptLine(receipt: Receipt, paint: Paint): string {
  const text = plainText(receiptText(receipt))
  if (reachedWrongSlot(receipt)) return paint.bad(text)
  return receipt.failed > 0 ? paint.warn(text) : text
}

function deployText(
  { state, release, slot }: Extract<ProgressLine, { kind: 'deploy' }>['deploy'],
  paint: Paint,
) {
  const where = paint[slot](slot)
  switch (state) {
    case 'draining':
      return `Waiting until ${where} has no connections`
    case 'preparing':
      return `Starting release ${release} in ${where} and probing it`
    case 'switching':
      return `Sending new connections to ${where}`
    case 'baking':
      return `New connections go to ${where}; release ${release} is watched`
    case 'ready':
    case 'live':
    case 'failed':
    case 'rolled-back':
      return null
    default:
      return state satisfies never
  }
}

/** Whether the line stands for the state it tells until another takes its place, as against a step that is worth keeping. */
export function isPassing(line: ProgressLine): boolean {
  if (line.kind === 'deploy') return line.deploy.state === 'switching' || line.deploy.state === 'baking'
  return (
    line.kind === 'take-in' || line.kind === 'draining' || line.kind === 'probe' || line.kind === 'waiting'
  )
}
