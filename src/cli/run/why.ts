import type { FileChange, WhyReport } from '../../api/protocol.ts'
import type { Slot } from '../../core/app.ts'
import type { Paint } from '../paint.ts'
import { plainText } from '../plain-text.ts'
import { formatBytes } from '../quantity.ts'
import { type CommonFlags, openSession } from '../session.ts'
import { formatLogEntry } from './logs.ts'

export interface WhyFlags extends CommonFlags {
  readonly slot: Slot | undefined
}

export async function why(flags: WhyFlags, app: string): Promise<void> {
  const session = openSession(flags)
  const report = await session.daemon.why(app, flags.slot ?? null)
  if (session.isJson) session.document(report)
  session.say(formatWhy(report, session.paint))
}

/** Pure. */
export function formatWhy(report: WhyReport, paint: Paint): string {
  const { app, slot, release, verdict } = report
  const what = `${paint.name(plainText(app))} ${paint[slot](slot)}${release === null ? '' : ` (release ${release})`}`
  if (verdict === null) return `${what}: ${paint.good('nothing is wrong')}, as far as dorc can see`
  const lines = findings(report, paint).map(([label, text]) => `  ${paint.bold(label.padEnd(7))}  ${text}`)
  const log = report.log.map((entry) => `  ${formatLogEntry(entry, paint)}`)
  return [
    `${what}: ${paint.bad(plainText(verdict))}`,
    ...lines,
    ...(log.length === 0 ? ['', paint.dim('  It has written nothing')] : ['', ...log]),
    '',
    `  ${paint.bold('next'.padEnd(7))}  ${plainText(report.next)}`,
  ].join('\n')
}

function findings({ exit, restarts, ports, probe, changes }: WhyReport, paint: Paint): [string, string][] {
  const found: [string, string][] = []
  const again = restarts === 0 ? '' : `, started again ${restarts} times since`
  if (exit !== null) found.push(['exit', `${plainText(exit)}${again}`])
  found.push(['ports', portsText(ports)])
  if (probe !== null) {
    const answer = probe.ok ? paint.good(plainText(probe.detail)) : plainText(probe.detail)
    found.push(['probe', probe.request === null ? answer : `${plainText(probe.request)}: ${answer}`])
  }
  if (changes !== null) found.push(['changes', changesText(changes)])
  return found
}

function portsText({ expected, listening }: WhyReport['ports']): string {
  if (listening.includes(expected)) return `listens on ${expected}, as it should`
  return listening.length === 0
    ? `listens on none; ${expected} is expected`
    : `listens on ${listening.join(', ')}; ${expected} is expected`
}

function changesText({ since, files, more }: NonNullable<WhyReport['changes']>): string {
  const rest = more === 0 ? [] : [`and ${more} more`]
  const list = [...files.map(changeText), ...rest]
  return `since release ${since}, the last good one: ${list.length === 0 ? 'nothing' : list.join(', ')}`
}

function changeText({ path, kind, before, after }: FileChange): string {
  const sizes = [before, after].filter((size) => size !== null).map(formatBytes)
  return `${plainText(path)} ${kind}${sizes.length === 0 ? '' : ` (${sizes.join(' → ')})`}`
}
