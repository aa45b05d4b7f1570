import { parse, TomlError } from 'smol-toml'
import type { z } from 'zod'
import type { Definition } from '../core/definition.ts'
import { DorcError } from '../core/errors.ts'
import type { Paths } from '../platform/paths.ts'
import { nearest } from './nearest.ts'
import { appFileSchema, keysAt } from './schema.ts'
import { type Contradiction, contradictions, toDefinition } from './to-definition.ts'
import { lineOf } from './toml-lines.ts'

const SIZE_LIMIT_BYTES = 64 * 1024

export interface Problem {
  /** null: the file as a whole. */
  readonly line: number | null
  readonly key: string | null
  readonly message: string
}

export interface AppFileInput {
  readonly name: string
  readonly toml: string
  /** For messages. */
  readonly fileName: string
  readonly paths: Paths
}

/** An app's file as its definition. Throws DEFINITION_INVALID that tells everything that is wrong, with its lines. */
export function parseAppFile({ name, toml, fileName, paths }: AppFileInput): Definition {
  const problems: Problem[] = []
  const document = parseToml(toml, problems)
  const checked = document === null ? null : appFileSchema.safeParse(document, { reportInput: true })
  if (checked?.success === false)
    problems.push(...checked.error.issues.flatMap((issue) => problemsOf(issue, toml)))
  if (checked?.success === true) {
    const definition = toDefinition(name, checked.data, paths)
    const found = 'problems' in definition ? definition.problems : contradictions(definition.definition)
    if ('definition' in definition && found.length === 0) return definition.definition
    problems.push(...found.map((contradiction) => located(contradiction, toml)))
  }
  throw invalid(fileName, problems)
}

function parseToml(toml: string, problems: Problem[]): unknown {
  if (Buffer.byteLength(toml) > SIZE_LIMIT_BYTES) {
    problems.push({
      line: null,
      key: null,
      message: `the file is larger than ${SIZE_LIMIT_BYTES / 1024} KiB`,
    })
    return null
  }
  try {
    return parse(toml)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [message = ''] = error.message.replace(/^Invalid TOML document: /, '').split('\n')
    problems.push({ line: error.line, key: null, message })
    return null
  }
}

function problemsOf(issue: z.core.$ZodIssue, toml: string): Problem[] {
  const { path } = issue
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const near = nearest(key, keysAt(path))
      const message = near === null ? 'there is no such key' : `there is no such key; did you mean "${near}"?`
      return located({ path: [...path, key], message }, toml)
    })
  }
  return [located({ path, message: messageOf(issue) }, toml)]
}

function messageOf(issue: z.core.$ZodIssue): string {
  if ((issue.code === 'invalid_type' || issue.code === 'invalid_union') && issue.input === undefined)
    return 'is missing'
  if (issue.code === 'invalid_type')
    return issue.message.startsWith('must') ? issue.message : `must be a ${issue.expected}`
  if (issue.code !== 'invalid_union') return issue.message
  return issue.errors.flat().find(({ code }) => code === 'custom')?.message ?? 'has the wrong type'
}

function located({ path, message }: Contradiction, toml: string): Problem {
  return { line: lineOf(toml, path), key: path.length === 0 ? null : path.map(String).join('.'), message }
}

function invalid(fileName: string, problems: readonly Problem[]): DorcError {
  const sorted = [...problems].sort((a, b) => (a.line ?? 0) - (b.line ?? 0))
  const lines = sorted.map(
    ({ line, key, message }) =>
      `${line === null ? '' : `line ${line}: `}${key === null ? '' : `${key} `}${message}`,
  )
  return new DorcError('DEFINITION_INVALID', `"${fileName}" is not a valid definition: ${lines.join('; ')}`, {
    hint: 'The keys are in docs/configuration.md',
  })
}
