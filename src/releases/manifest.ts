import { createHash } from 'node:crypto'
import { DorcError } from '../core/errors.ts'

/** What a release consists of; owner, times and all other attributes are not part of it. */
export type ManifestEntry =
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | ManifestFile

export interface ManifestFile {
  readonly kind: 'file'
  readonly path: string
  readonly executable: boolean
  readonly size: number
  /** In hex. */
  readonly sha256: string
}

export type Manifest = readonly ManifestEntry[]

/** One JSON array per line, in the order of the scan: the same tree gives the same bytes. */
export function formatManifest(manifest: Manifest): string {
  return manifest.map((entry) => `${JSON.stringify(wireOf(entry))}\n`).join('')
}

/** `sha256:…` over the manifest's text: the identity of a release's content. */
export function digestOf(manifestText: string): string {
  return `sha256:${createHash('sha256').update(manifestText).digest('hex')}`
}

export function fileMode(file: ManifestFile): number {
  return file.executable ? 0o755 : 0o644
}

/** Throws STATE_CORRUPT, naming `where`. */
export function parseManifest(text: string, where: string): Manifest {
  const lines = text.split('\n')
  if (lines.pop() !== '') throw corrupt(where)
  return lines.map((line) => parseEntry(line, where))
}

function wireOf(entry: ManifestEntry): readonly unknown[] {
  switch (entry.kind) {
    case 'directory':
      return ['d', entry.path]
    case 'symlink':
      return ['l', entry.path, entry.target]
    case 'file':
      return [entry.executable ? 'x' : 'f', entry.path, entry.size, entry.sha256]
    default:
      return entry satisfies never
  }
}

function parseEntry(line: string, where: string): ManifestEntry {
  const wire = parseJson(line, where)
  if (!Array.isArray(wire)) throw corrupt(where)
  const [kind, path, third, fourth] = wire as unknown[]
  if (typeof path !== 'string' || !isInside(path)) throw corrupt(where)
  if (kind === 'd') return { kind: 'directory', path }
  if (kind === 'l' && typeof third === 'string') return { kind: 'symlink', path, target: third }
  if ((kind === 'f' || kind === 'x') && typeof third === 'number' && typeof fourth === 'string') {
    return { kind: 'file', path, executable: kind === 'x', size: third, sha256: fourth }
  }
  throw corrupt(where)
}

function parseJson(line: string, where: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    throw corrupt(where, error)
  }
}

function isInside(path: string): boolean {
  return path !== '' && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}

function corrupt(where: string, cause?: unknown): DorcError {
  return new DorcError('STATE_CORRUPT', `Cannot understand "${where}"`, {
    cause,
    hint: 'Deploy the release again; the damaged one can be deleted',
  })
}
