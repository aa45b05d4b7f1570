import type { AppStatus, StatusReport } from '../../api/protocol.ts'
import { otherSlot } from '../../core/app.ts'
import type { Paint } from '../paint.ts'
import { plainText } from '../plain-text.ts'
import { counted } from '../quantity.ts'
import { shorten, wrap } from '../table.ts'
import { describeDeploy } from './describe-deploy.ts'
import { slotBlocks } from './slot-blocks.ts'
import { slotTable } from './slot-table.ts'

export interface StatusOptions {
  readonly paint: Paint
  /** Of the terminal; null: as wide as it gets. */
  readonly columns: number | null
  readonly now: Date
}

/** Below this a table would show next to nothing of the last probe. */
const NARROWEST_TABLE = 72

const REMARK_INDENT = 10

/** What `dorc status` shows. Pure. */
export function formatStatus(report: StatusReport, options: StatusOptions): string {
  const sections = report.apps.map((app) => formatApp(app, options))
  if (report.setAside.length > 0) sections.push(formatSetAside(report.setAside, options))
  if (sections.length === 0) sections.push('No apps yet.\nMake one: dorc register')
  return sections.join('\n\n')
}

/** One app: its headline, its slots, the deploy, what to do next. */
export function formatApp(app: AppStatus, options: StatusOptions): string {
  const { columns } = options
  const isNarrow = columns !== null && columns < NARROWEST_TABLE
  const slots = isNarrow ? slotBlocks(app, options) : slotTable(app, options)
  const remarks = remarksOn(app, options)
  return [headline(app, options), ...slots, ...(remarks.length > 0 ? ['', ...remarks] : [])].join('\n')
}

function headline(app: AppStatus, { paint }: StatusOptions): string {
  const reason = app.dataPlaneReason === null ? '' : ` (${plainText(app.dataPlaneReason)})`
  const plane = paint.dim(`${app.dataPlane}${reason}`)
  const held = app.held === 0 ? '' : ` (${app.held} now)`
  const waiting = app.held === 0 ? '' : `  ${paint.warn(`${counted(app.held, 'new connection')} waiting`)}`
  const paused = app.paused ? `  ${paint.warn(`paused: new connections wait${held}`)}` : waiting
  return `${paint.name(plainText(app.name))}  on ${plainText(app.listen)}  ${plane}${paused}`
}

function describePreview({ preview, previewProblem, active }: AppStatus, { paint }: StatusOptions): string {
  const inactive = otherSlot(active)
  const problem = previewProblem === null ? '' : `: ${paint.warn(plainText(previewProblem))}`
  return `${plainText(preview ?? '')} leads to ${paint[inactive](inactive)}${problem}`
}

function remarksOn(app: AppStatus, options: StatusOptions): string[] {
  const { paint } = options
  const remarks: [label: string, text: string][] = []
  if (app.preview !== null) remarks.push(['preview', describePreview(app, options)])
  if (app.deploy !== null) remarks.push(['deploy', describeDeploy(app.deploy, options)])
  for (const slot of ['blue', 'green'] as const) {
    const { restarts, sandboxExceptions } = app.slots[slot]
    if (restarts > 0) remarks.push([slot, paint.warn(`restarted ${counted(restarts, 'time')} by itself`)])
    if (sandboxExceptions.length > 0) {
      remarks.push([slot, `outside the sandbox: ${plainText(sandboxExceptions.join(', '))}`])
    }
  }
  if (app.uploadProblem !== null) remarks.push(['upload', paint.warn(plainText(app.uploadProblem))])
  if (app.nextStep !== null) remarks.push(['next', plainText(app.nextStep)])
  const room = options.columns === null ? Infinity : options.columns - REMARK_INDENT
  return remarks.map(
    ([label, text]) =>
      `  ${paint.bold(label.padEnd(6))}  ${wrap(text, room).join(`\n${' '.repeat(REMARK_INDENT)}`)}`,
  )
}

function formatSetAside(setAside: StatusReport['setAside'], { paint, columns }: StatusOptions): string {
  const lines = setAside.map(({ name, reason }) => {
    const shown = plainText(name)
    const room = columns === null ? Infinity : Math.max(20, columns - shown.length - 4)
    return `  ${paint.name(shown)}  ${shorten(plainText(reason), room)}`
  })
  const title = paint.bad(`Set aside (${counted(setAside.length, 'app')}), the others run:`)
  const next = '  next  See what can be done: docs/operations.md, "An app is set aside"'
  return [title, ...lines, next].join('\n')
}
