import * as z from 'zod'
import {
  absolutePath,
  command,
  duration,
  flag,
  listenAddress,
  pathInRelease,
  pathInUnit,
  percent,
  plainText,
  user,
  size,
  wholeNumber,
} from './values.ts'

/** The keys of an app's file, each checked by itself. docs/configuration.md has a line for each: a test compares them. */

/** The file is root's, so LD_PRELOAD and the like are root's choice; these are what dorc itself tells the app. */
const DORCS_OWN_VARIABLE = /^(DORC_.*|PORT)$/

const NO_TABLE = 'must be a table'

const environment = z.record(
  z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must have only letters, digits and _ in its name, and no digit first')
    .refine((name) => !DORCS_OWN_VARIABLE.test(name), 'is set by dorc'),
  // A float would not stay as it was typed: 1.10 is 1.1.
  z
    .union([z.string(), z.int(), z.boolean()], 'must be text in quotes, a whole number, true or false')
    .transform(String)
    .pipe(plainText),
  NO_TABLE,
)

const probe = z
  .strictObject(
    {
      http: plainText
        .regex(/^\/[!-~]*$/, 'must begin with / and have no spaces: write %20 for one')
        .optional(),
      tcp: z.literal(true, 'must be true, or not be there').optional(),
      command: command.optional(),
      expect_status: wholeNumber(100, 599).optional(),
      host: plainText.regex(/^[!-~]+$/, 'must be the name of a host').optional(),
      interval: duration('100ms').optional(),
      timeout: duration('10ms').optional(),
    },
    NO_TABLE,
  )
  .refine(
    ({ http, tcp, command: run }) => [http, tcp, run].filter((kind) => kind !== undefined).length <= 1,
    'takes one of http, tcp and command',
  )

const sandbox = z.strictObject(
  {
    writable_paths: z.array(pathInUnit, 'must be an array of paths').optional(),
    home: flag.optional(),
    devices: flag.optional(),
    off: flag.optional(),
  },
  NO_TABLE,
)

/** Keys that may stand for both slots or, under [blue] and [green], for one. */
const slotKeys = {
  executable: pathInRelease.optional(),
  start: command.optional(),
  stop: command.optional(),
  reload: command.optional(),
  before_start: command.optional(),
  after_switch: command.optional(),
  after_rollback: command.optional(),
  user: user.optional(),
  // To systemd 0 means for ever.
  stop_timeout: duration('100ms').optional(),
  environment: environment.optional(),
  probe: probe.optional(),
  sandbox: sandbox.optional(),
  memory_max: size.optional(),
  cpu_quota: percent.optional(),
  tasks_max: wholeNumber(1, 1_000_000).optional(),
  open_files: wholeNumber(64, 1_048_576).optional(),
}

const slotTable = z.strictObject(
  { port: wholeNumber(1, 65_535), dir: pathInUnit.optional(), ...slotKeys },
  NO_TABLE,
)

export const appFileSchema = z.strictObject({
  listen: listenAddress,
  preview: listenAddress.optional(),
  upload_dir: absolutePath.optional(),
  watch: flag.default(true),
  settle: duration('100ms').default(2_000),
  auto_switch: flag.default(false),
  bake: duration().default(60_000),
  drain_timeout: duration().default(300_000),
  deploy_timeout: duration('1s').default(60_000),
  min_healthy: duration().default(5_000),
  hold_timeout: duration().default(10_000),
  failover_crashes: wholeNumber(0, 100).default(0),
  failover_within: duration('1s').default(600_000),
  guard_slot_ports: z.boolean().default(true),
  // What runs and what ran before.
  keep_releases: wholeNumber(2, 1_000).default(5),
  keep_bytes: size.optional(),
  signatures: z.enum(['off', 'warn', 'require'], 'must be "off", "warn" or "require"').default('off'),
  ...slotKeys,
  blue: slotTable,
  green: slotTable,
})

export type AppFile = z.output<typeof appFileSchema>
export type SlotTable = z.output<typeof slotTable>
export type ProbeTable = z.output<typeof probe>
export type SandboxTable = z.output<typeof sandbox>

/** Every key as a dotted path; `blue.port` stands for both slots. */
export function knownKeys(): string[] {
  return [
    ...keysOf(appFileSchema),
    ...keysOf(probe).map((key) => `probe.${key}`),
    ...keysOf(sandbox).map((key) => `sandbox.${key}`),
    'blue.port',
    'blue.dir',
  ]
}

/** The keys that may stand in the table at this path. */
export function keysAt(path: readonly PropertyKey[]): string[] {
  if (path.length === 0) return keysOf(appFileSchema)
  const last = path.at(-1)
  if (last === 'probe') return keysOf(probe)
  if (last === 'sandbox') return keysOf(sandbox)
  return last === 'blue' || last === 'green' ? keysOf(slotTable) : []
}

const keysOf = (schema: z.ZodObject): string[] => Object.keys(schema.shape)
