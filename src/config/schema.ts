import { z } from 'zod'
import { joinCommand, splitCommand } from '../core/command-words.ts'
import { parseDuration } from '../core/durations.ts'

/** The keys of an app's file, each checked by itself. docs/configuration.md has a line for each: a test compares them. */

const CONTROL_CHARACTERS = /\p{Cc}/u

const plainText = z
  .string()
  .refine((text) => !CONTROL_CHARACTERS.test(text), 'must not have control characters')

const absolutePath = plainText.refine(
  (path) =>
    path.startsWith('/') &&
    !path.split('/').some((part) => part === '..' || part === '.') &&
    !/\/\/|.\/$/.test(path),
  'must be an absolute path without "..", "." or a slash at its end',
)

const duration = z.union([z.string(), z.number()]).transform((text, context) => {
  const ms = parseDuration(text)
  if (ms !== null) return ms
  context.addIssue({ code: 'custom', message: 'must be a duration such as "2s", "500ms" or "1min"' })
  return z.NEVER
})

const command = z
  .union([plainText, z.array(plainText)])
  .transform((given, context) => {
    const line = typeof given === 'string' ? given : joinCommand(given)
    const split = splitCommand(line)
    if (split.ok && split.words.length > 0) return split.words
    context.addIssue({
      code: 'custom',
      message: split.ok ? 'must not be empty' : `cannot be split into words: ${split.problem}`,
    })
    return z.NEVER
  })
  .refine(
    ([program = '']) => program === '{executable}' || /^(\/|\{dir\}\/)[^\s]*/.test(program),
    'must begin with {executable}, {dir}/… or the absolute path of a program',
  )

const port = z.int('must be a whole number').min(1, 'must be 1 to 65535').max(65_535, 'must be 1 to 65535')

/** The file is root's, so LD_PRELOAD and the like are root's choice; these are what dorc itself tells the app. */
const DORCS_OWN_VARIABLE = /^(DORC_.*|PORT)$/

const environment = z.record(
  z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must have only letters, digits and _')
    .refine((name) => !DORCS_OWN_VARIABLE.test(name), 'is set by dorc'),
  z.union([z.string(), z.number(), z.boolean()]).transform(String).pipe(plainText),
)

const probe = z
  .strictObject({
    http: plainText.startsWith('/', 'must begin with /').optional(),
    tcp: z.literal(true).optional(),
    command: command.optional(),
    expect_status: z.int().min(100).max(599).optional(),
    host: plainText.optional(),
    interval: duration.optional(),
    timeout: duration.optional(),
  })
  .refine(
    ({ http, tcp, command: run }) => [http, tcp, run].filter((kind) => kind !== undefined).length <= 1,
    {
      message: 'takes one of http, tcp and command',
    },
  )

const sandbox = z.strictObject({
  writable_paths: z.array(absolutePath).optional(),
  home: z.boolean().optional(),
  devices: z.boolean().optional(),
  off: z.boolean().optional(),
})

/** Keys that may stand for both slots or, under [blue] and [green], for one. */
const slotKeys = {
  executable: plainText
    .refine(
      (path) => path !== '' && !path.startsWith('/') && !path.split('/').includes('..'),
      'must be a path inside the release',
    )
    .optional(),
  start: command.optional(),
  stop: command.optional(),
  reload: command.optional(),
  user: z
    .string()
    .regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'must be the name of a user')
    .optional(),
  stop_timeout: duration.optional(),
  environment: environment.optional(),
  probe: probe.optional(),
  sandbox: sandbox.optional(),
}

const slotTable = z.strictObject({ port, dir: absolutePath.optional(), ...slotKeys })

export const appFileSchema = z.strictObject({
  listen: z.union([z.string(), z.number()]),
  upload_dir: absolutePath.optional(),
  watch: z.boolean().default(true),
  settle: duration.default(2_000),
  auto_switch: z.boolean().default(false),
  bake: duration.default(60_000),
  drain_timeout: duration.default(300_000),
  deploy_timeout: duration.default(60_000),
  min_healthy: duration.default(5_000),
  hold_timeout: duration.default(10_000),
  keep_releases: z.int().min(2, 'must be at least 2: what runs and what ran before').max(1_000).default(5),
  ...slotKeys,
  blue: slotTable,
  green: slotTable,
})

export type AppFile = z.output<typeof appFileSchema>
export type SlotTable = z.output<typeof slotTable>

/** Every key as a dotted path; `blue.port` stands for both slots. */
export function knownKeys(): string[] {
  return [
    ...keysOf(appFileSchema, ''),
    ...keysOf(probe, 'probe.'),
    ...keysOf(sandbox, 'sandbox.'),
    'blue.port',
    'blue.dir',
  ]
}

export const keysOf = (schema: z.ZodObject, prefix: string): string[] =>
  Object.keys(schema.shape).map((key) => `${prefix}${key}`)

/** The keys that may stand in the table at this path, to find the nearest to an unknown one. */
export function keysAt(path: readonly PropertyKey[]): string[] {
  const last = path.at(-1)
  if (last === 'probe') return keysOf(probe, '')
  if (last === 'sandbox') return keysOf(sandbox, '')
  if (last === 'blue' || last === 'green') return keysOf(slotTable, '')
  return path.length === 0 ? keysOf(appFileSchema, '') : []
}
