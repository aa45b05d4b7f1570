import { parse, TomlError } from 'smol-toml'
import type * as z from 'zod'
import type { Definition } from '../core/definition.ts'
import { DorcError } from '../core/errors.ts'
import type { Paths } from '../platform/paths.ts'
import { type Contradiction, contradictions } from './contradictions.ts'
import { nearest } from './nearest.ts'
import { appFileSchema, keysAt } from './schema.ts'
import { toDefinition } from './to-definition.ts'
import { lineOf } from './toml-lines.ts'

const SIZE_LIMIT_BYTES = 64 * 1024

export interface AppFileInput {
  readonly name: string
  readonly toml: string
  /** For messages. */
  readonly fileName: string
  readonly paths: Paths
}

export interface Problem {
  /** null: the file as a whole, or a table that is not there. */
  readonly line: number | null
  /** Dotted: `blue.port`. null: the file as a whole. */
  readonly key: string | null
  /** Goes on after the key: `must be …`. */
  readonly message: string
}

export type CheckedAppFile =
  | { readonly ok: true; readonly definition: Definition }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** An app's file as its definition. Throws DEFINITION_INVALID that tells everything that is wrong, with its lines. */
export function parseAppFile(input: AppFileInput): Definition {
  const checked = checkAppFile(input)
  if (checked.ok) return checked.definition
  throw definitionInvalid(input.fileName, checked.problems)
}

/** Everything that is wrong with an app's file, in the order of its lines. Throws nothing. */
export function checkAppFile({ name, toml, paths }: AppFileInput): CheckedAppFile {
  const read = readToml(toml)
  if (!read.ok) return read
  const { document } = read
  const checked = appFileSchema.safeParse(document, { reportInput: true })
  const faults = checked.success ? [] : checked.error.issues.flatMap(faultsOf)
  // What is wrong by itself is taken out, so that the rest can still be judged as a whole.
  const file = checked.success ? checked.data : appFileSchema.safeParse(without(document, faults)).data
  if (file !== undefined) {
    const definition = toDefinition(name, file, paths)
    faults.push(...contradictions({ name, file, definition, paths }))
    if (faults.length === 0) return { ok: true, definition }
  }
  return { ok: false, problems: located(faults, toml) }
}

type ReadToml =
  | { readonly ok: true; readonly document: unknown }
  | { readonly ok: false; readonly problems: readonly Problem[] }

function readToml(toml: string): ReadToml {
  const refused = (line: number | null, message: string): ReadToml => ({
    ok: false,
    problems: [{ line, key: null, message }],
  })
  if (Buffer.byteLength(toml) > SIZE_LIMIT_BYTES)
    return refused(null, `the file is larger than ${SIZE_LIMIT_BYTES / 1024} KiB`)
  if (!toml.isWellFormed()) return refused(null, 'the file is not Unicode text')
  try {
    return { ok: true, document: parse(toml) }
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [message = ''] = error.message.replace(/^Invalid TOML document: /, '').split('\n')
    return refused(error.line, message)
  }
}

function faultsOf(issue: z.core.$ZodIssue): Contradiction[] {
  const { path } = issue
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ path: [...path, key], message: unknownKey(path, key) }))
  if (issue.input === undefined) return [{ path, message: 'is missing' }]
  if (issue.code === 'invalid_key') return [{ path, message: issue.issues[0]?.message ?? issue.message }]
  return [{ path, message: issue.message }]
}

function unknownKey(path: readonly PropertyKey[], key: string): string {
  if (path.length > 0 && keysAt([]).includes(key) && !keysAt(path).includes(key))
    return 'is not a key of this table; it belongs above the first [table]'
  const near = nearest(key, keysAt(path))
  return near === null ? 'is not a known key' : `is not a known key; did you mean "${near}"?`
}

/** The document less what the faults name. */
function without(document: unknown, faults: readonly Contradiction[]): unknown {
  const rest: unknown = structuredClone(document)
  for (const { path } of faults) {
    const last = path.at(-1)
    const table = path.slice(0, -1).reduce(member, rest)
    if (last !== undefined && isTable(table)) Reflect.deleteProperty(table, last)
  }
  return rest
}

const isTable = (value: unknown): value is Record<PropertyKey, unknown> =>
  typeof value === 'object' && value !== null

const member = (value: unknown, key: PropertyKey): unknown =>
  isTable(value) && Object.hasOwn(value, key) ? value[key] : undefined

/** One problem a key: what follows from the first is noise. */
function located(faults: readonly Contradiction[], toml: string): Problem[] {
  const byKey = new Map<string, Problem>()
  for (const { path, message } of faults) {
    const key = path.map(String).join('.')
    if (!byKey.has(key)) byKey.set(key, { line: lineOf(toml, path), key, message })
  }
  // What is missing has no line; it comes last, because a misspelt key is often why.
  const lineIn = ({ line }: Problem): number => line ?? Number.MAX_SAFE_INTEGER
  return [...byKey.values()].sort((a, b) => lineIn(a) - lineIn(b))
}

function definitionInvalid(fileName: string, problems: readonly Problem[]): DorcError {
  const [first = '', ...others] = problems.map(problemText)
  const more = others.length === 0 ? '' : `; and ${others.length} more`
  return new DorcError('DEFINITION_INVALID', `"${fileName}" is not a valid definition: ${first}${more}`, {
    hint: [...others, 'All keys: docs/configuration.md'].join('\n'),
  })
}

function problemText({ line, key, message }: Problem): string {
  return [line === null ? [] : `line ${line}:`, key ?? [], message].flat().join(' ')
}
