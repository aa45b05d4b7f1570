import type { ReleaseSummary } from '../../api/protocol.ts'
import type { Paint } from '../paint.ts'
import { counted, formatAgo, formatBytes } from '../quantity.ts'
import { type CommonFlags, openSession } from '../session.ts'
import { formatTable } from '../table.ts'

export async function releases(flags: CommonFlags, app: string): Promise<void> {
  const session = openSession(flags)
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
  const rows = newestFirst.map(({ release, slots, takenInAt, files, bytes, digest, bad }) => [
    String(release),
    slots.map((slot) => paint[slot](slot)).join(' ') || '-',
    formatAgo(takenInAt, now),
    String(files),
    formatBytes(bytes),
    `${digest.replace('sha256:', '').slice(0, 12)}${bad ? paint.bad('  took itself back') : ''}`,
  ])
  const [titles = '', ...lines] = formatTable(columns, rows)
  return [paint.dim(titles), ...lines, paint.dim(`${counted(releases.length, 'release')} kept`)].join('\n')
}
