import type { ReleaseCheck, ReleaseSummary } from '../../api/protocol.ts'
import { DorcError } from '../../core/errors.ts'
import type { Paint } from '../paint.ts'
import { plainText } from '../plain-text.ts'
import { counted, formatAgo, formatBytes } from '../quantity.ts'
import { type CommonFlags, openSession } from '../session.ts'
import { formatTable } from '../table.ts'

export interface ReleasesFlags extends CommonFlags {
  readonly verify: boolean | undefined
}

export async function releases(flags: ReleasesFlags, app: string, release?: number): Promise<void> {
  const session = openSession(flags)
  if (flags.verify === true) {
    const checks = await session.daemon.verify(app, release ?? null)
    if (session.isJson) session.document({ releases: checks })
    session.say(formatChecks(checks, session.paint))
    if (checks.some(({ deviations }) => deviations.length > 0)) process.exitCode = 1
    return
  }
  if (release !== undefined)
    throw new DorcError('USAGE', 'A release number needs --verify', {
      hint: `Run: dorc releases ${app} --verify ${release}`,
    })
  const found = await session.daemon.releases(app)
  if (session.isJson) session.document({ releases: found })
  session.say(formatReleases(found, { app, paint: session.paint, now: new Date() }))
}

/** Newest first. Pure. */
export function formatReleases(
  releases: readonly ReleaseSummary[],
  { app, paint, now }: { readonly app: string; readonly paint: Paint; readonly now: Date },
): string {
  if (releases.length === 0) return `No releases yet.\nTake one in: dorc deploy ${app} PATH`
  const columns = [
    { title: 'REL', align: 'right' },
    { title: 'SLOT' },
    { title: 'TAKEN IN' },
    { title: 'FILES', align: 'right' },
    { title: 'SIZE', align: 'right' },
    { title: 'DIGEST' },
  ] as const
  const newestFirst = [...releases].sort((a, b) => b.release - a.release)
  const rows = newestFirst.map(({ release, slots, takenInAt, files, bytes, digest, signedBy, bad }) => [
    String(release),
    slots.map((slot) => paint[slot](slot)).join(' ') || '-',
    formatAgo(takenInAt, now),
    String(files),
    formatBytes(bytes),
    `${digest.replace('sha256:', '').slice(0, 12)}${signedBy === null ? '' : `  signed by ${plainText(signedBy)}`}${bad ? paint.bad('  took itself back') : ''}`,
  ])
  const [titles = '', ...lines] = formatTable(columns, rows)
  return [paint.dim(titles), ...lines, paint.dim(`${counted(releases.length, 'release')} kept`)].join('\n')
}

/** In the order of the checks. Pure. */
export function formatChecks(checks: readonly ReleaseCheck[], paint: Paint): string {
  if (checks.length === 0) return 'No releases yet.'
  return checks
    .flatMap(({ release, files, bytes, deviations }) => {
      if (deviations.length === 0)
        return [
          `${paint.good('✔')} release ${release}: ${counted(files, 'file')}, ${formatBytes(bytes)}, as taken in`,
        ]
      const lines = deviations.map(
        ({ where, path, problem }) => `    ${where}: "${plainText(path)}" ${plainText(problem)}`,
      )
      return [`${paint.bad('✘')} release ${release}: ${counted(deviations.length, 'deviation')}`, ...lines]
    })
    .join('\n')
}
