import type { ErrorBody } from '../../api/protocol.ts'
import type { Slot } from '../../core/app.ts'
import { type Receipt, type Tally, tallyText } from '../../core/receipt.ts'
import type { Paint } from '../paint.ts'
import { plainText } from '../plain-text.ts'
import { counted } from '../quantity.ts'

/** What a drill found; the document of --json. */
export interface DrillReport extends Tally {
  readonly app: string
  readonly ok: boolean
  readonly asked: number
  /** Switches that were carried out. */
  readonly switches: number
  /** From the call of the API to the first new connection that is proven to be on the new slot, in ms; null: none was proven. */
  readonly latency: { readonly p50: number; readonly p99: number } | null
  readonly held: { readonly opened: number; readonly kept: number }
  readonly wasDaemonKilled: boolean
  readonly wasInterrupted: boolean
  /** The slot that is active in the end; null: that could not be found out. */
  readonly active: Slot | null
  readonly isRestored: boolean
  /** What ended it early. */
  readonly error: ErrorBody['error'] | null
  readonly receipts: readonly Receipt[]
}

/** Nearest rank; null of nothing. */
export function latencyOf(latenciesMs: readonly number[]): DrillReport['latency'] {
  const sorted = latenciesMs.toSorted((one, other) => one - other)
  const at = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? 0
  return sorted.length === 0 ? null : { p50: at(0.5), p99: at(0.99) }
}

export function isGood(report: Omit<DrillReport, 'ok'>): boolean {
  const { failed, held, receipts, error, isRestored, wasInterrupted } = report
  const areReceiptsGood = receipts.every((receipt) => receipt.failed === 0)
  return (
    failed === 0 &&
    held.kept === held.opened &&
    areReceiptsGood &&
    error === null &&
    isRestored &&
    !wasInterrupted
  )
}

/** Pure. */
export function formatReport(report: DrillReport, paint: Paint): string {
  const { switches, asked, latency, held, wasDaemonKilled, active, isRestored, error } = report
  const mark = report.ok ? paint.good('✔') : paint.bad('✘')
  const killed = wasDaemonKilled ? ', the daemon killed in between' : ''
  const of = switches === asked ? '' : ` of ${asked}`
  const ms = (value: number): string => `${value.toFixed(1)} ms`
  const lines = [
    `${mark} ${switches}${of} switches${killed}: ${plainText(tallyText(report))}`,
    latency === null
      ? '  Until the first new connection: not measured'
      : `  Until the first new connection: p50 ${ms(latency.p50)}, p99 ${ms(latency.p99)}`,
    held.opened === 0
      ? '  No connections were held open'
      : `  Old connections: ${held.kept} of ${held.opened} kept`,
  ]
  const failed = report.receipts.reduce((sum, receipt) => sum + receipt.failed, 0)
  if (failed > 0) lines.push(paint.bad(`  The receipts tell of ${counted(failed, 'failure')} more`))
  if (error !== null) lines.push(paint.bad(`  Ended early: ${plainText(error.message)} (${error.code})`))
  lines.push(
    isRestored
      ? `  ${active} is active, as before`
      : paint.bad(`  The active slot is not what it was: ${active ?? 'see dorc status'}`),
  )
  return lines.join('\n')
}
