import type { Manifest, ManifestEntry } from './manifest.ts'

/** `before` and `after`: bytes; null: not there, or no file. */
export interface Change {
  readonly path: string
  readonly kind: 'added' | 'removed' | 'changed'
  readonly before: number | null
  readonly after: number | null
}

/** What is different in `after`, by path. Directories come and go with what is in them, and are not told. */
export function compareManifests(before: Manifest, after: Manifest): Change[] {
  const old = new Map(before.map((entry) => [entry.path, entry]))
  const changes: Change[] = []
  for (const entry of after) {
    const was = old.get(entry.path) ?? null
    old.delete(entry.path)
    if (was !== null && JSON.stringify(was) === JSON.stringify(entry)) continue
    if (entry.kind !== 'directory')
      changes.push({
        path: entry.path,
        kind: was === null ? 'added' : 'changed',
        before: sizeOf(was),
        after: sizeOf(entry),
      })
  }
  for (const gone of old.values())
    if (gone.kind !== 'directory')
      changes.push({ path: gone.path, kind: 'removed', before: sizeOf(gone), after: null })
  return changes.toSorted((one, other) => (one.path < other.path ? -1 : 1))
}

const sizeOf = (entry: ManifestEntry | null): number | null => (entry?.kind === 'file' ? entry.size : null)
