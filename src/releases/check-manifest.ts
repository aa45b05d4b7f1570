import { DorcError } from '../core/errors.ts'
import { UNPRINTABLE } from './check-tree.ts'
import type { Manifest, ManifestEntry } from './manifest.ts'

/** The kernel's own limit (path_resolution(7)). */
const MAX_SYMLINKS = 40

export interface ExecutableRule {
  /** Relative to the root of the release. */
  readonly path: string
  readonly mustBeExecutable: boolean
}

type Index = ReadonlyMap<string, ManifestEntry>

/** Refuses, by RELEASE_INVALID, symbolic links that are absolute, leave the tree, or never end. */
export function checkSymlinks(manifest: Manifest): void {
  const index = indexOf(manifest)
  for (const entry of manifest) {
    if (entry.kind !== 'symlink') continue
    const reached = checkTarget(entry.target) ?? resolve(index, entry.path)
    if (reached.ok) continue
    throw new DorcError('RELEASE_INVALID', `The symbolic link "${entry.path}" ${reached.reason}`, {
      hint: `It points to ${JSON.stringify(entry.target)}: use a relative target inside the upload, or copy the file`,
    })
  }
}

/** Throws RELEASE_INVALID unless the release has the executable, with an execute bit where it needs one. */
export function checkExecutable(manifest: Manifest, { path, mustBeExecutable }: ExecutableRule): void {
  const index = indexOf(manifest)
  const reached = resolve(index, path)
  const entry = reached.ok ? index.get(reached.path) : undefined
  if (entry?.kind !== 'file') {
    throw new DorcError('RELEASE_INVALID', `The executable "${path}" is not in the upload`, {
      hint: nearHint(manifest, path),
    })
  }
  if (mustBeExecutable && !entry.executable) {
    throw new DorcError('RELEASE_INVALID', `"${path}" is not executable`, {
      hint: `Run: chmod +x ${path}   (in the upload directory), then upload again`,
    })
  }
}

function indexOf(manifest: Manifest): Index {
  return new Map(manifest.map((entry) => [entry.path, entry]))
}

type Resolution =
  | { readonly ok: true; readonly path: string }
  | { readonly ok: false; readonly reason: string }

/** A target that is not UTF-8 came with replacement characters. */
function checkTarget(target: string): Resolution | null {
  if (!UNPRINTABLE.test(target) && !target.includes('\ufffd')) return null
  return { ok: false, reason: 'has an unprintable character in its target' }
}

/**
 * Follows a path as the kernel does: `..` leaves what a link led to, not what was written. So `a/link/../b` can leave a
 * tree that it seems to stay in. What does not exist is taken as a plain name: the app may make it later.
 */
function resolve(index: Index, path: string): Resolution {
  const todo = path.split('/')
  const done: string[] = []
  let links = 0
  while (todo.length > 0) {
    const part = todo.shift()
    if (part === undefined || part === '' || part === '.') continue
    if (part === '..') {
      if (done.pop() === undefined) return { ok: false, reason: 'points out of the upload' }
      continue
    }
    done.push(part)
    const entry = index.get(done.join('/'))
    if (entry?.kind !== 'symlink') continue
    links += 1
    if (links > MAX_SYMLINKS) return { ok: false, reason: 'leads in a circle' }
    if (entry.target.startsWith('/')) return { ok: false, reason: 'is absolute' }
    done.pop()
    todo.unshift(...entry.target.split('/'))
  }
  return { ok: true, path: done.join('/') }
}

function nearHint(manifest: Manifest, wanted: string): string {
  const near = manifest
    .filter((entry) => entry.kind === 'file')
    .map((file) => ({ path: file.path, distance: distanceOf(file.path, wanted) }))
    .filter(({ distance }) => distance <= 3)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ path }) => `"${path}"`)
  if (near.length > 0) return `The upload has ${near.join(', ')}: upload again, or change "executable"`
  const top = manifest.filter(({ path }) => !path.includes('/')).slice(0, 5)
  return `The upload has at its top: ${top.map(({ path }) => `"${path}"`).join(', ')}`
}

/** The same name elsewhere counts as near. */
function distanceOf(path: string, wanted: string): number {
  const baseName = (text: string): string => text.slice(text.lastIndexOf('/') + 1)
  if (baseName(path) === baseName(wanted)) return 1
  return Math.abs(path.length - wanted.length) > 3 ? Number.POSITIVE_INFINITY : editDistance(path, wanted)
}

/** Levenshtein's, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
