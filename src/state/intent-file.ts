import { createHash } from 'node:crypto'
import * as z from 'zod'
import type { App } from '../core/app.ts'
import { DorcError, ERROR_CODES } from '../core/errors.ts'

/** What stands in an intent file, and how it is read back: exactly an App, or a reason why it is none. */
/** Of what this dorc writes and reads. */
export const SCHEMA_VERSION = 1

const slot = z.enum(['blue', 'green'])
const release = z.int().positive()
const monotonic = z.number()
const words = z.array(z.string())
const times = { intervalMs: z.number(), timeoutMs: z.number() }

const probe = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('http'),
    path: z.string(),
    expectedStatus: z.int().nullable(),
    host: z.string().nullable(),
    ...times,
  }),
  z.strictObject({ kind: z.literal('tcp'), ...times }),
  z.strictObject({ kind: z.literal('command'), command: words, ...times }),
  z.strictObject({ kind: z.literal('auto'), ...times }),
])

const slotDefinition = z.strictObject({
  port: z.int(),
  workingDir: z.string(),
  executable: z.string(),
  start: words,
  stop: words.nullable(),
  reload: words.nullable(),
  hooks: z
    .strictObject({
      beforeStart: words.nullable(),
      afterSwitch: words.nullable(),
      afterRollback: words.nullable(),
    })
    .default({ beforeStart: null, afterSwitch: null, afterRollback: null }),
  environment: z.record(z.string(), z.string()),
  user: z.string().nullable(),
  stopTimeoutMs: z.number(),
  probe,
  sandbox: z.strictObject({
    writablePaths: words,
    home: z.boolean(),
    devices: z.boolean(),
    off: z.boolean(),
  }),
  resources: z
    .strictObject({
      memoryMaxBytes: z.number().nullable(),
      cpuQuotaPercent: z.number().nullable(),
      tasksMax: z.int(),
      openFiles: z.int(),
    })
    .default({ memoryMaxBytes: null, cpuQuotaPercent: null, tasksMax: 4_096, openFiles: 65_536 }),
})

const definition = z.strictObject({
  listen: z.strictObject({ host: z.string(), port: z.int() }),
  preview: z.strictObject({ host: z.string(), port: z.int() }).nullable().default(null),
  uploadDir: z.string(),
  watch: z.boolean(),
  settleMs: z.number(),
  autoSwitch: z.boolean(),
  bakeMs: z.number(),
  drainTimeoutMs: z.number(),
  deployTimeoutMs: z.number(),
  minHealthyMs: z.number(),
  holdTimeoutMs: z.number(),
  failoverCrashes: z.int().default(0),
  failoverWithinMs: z.number().default(600_000),
  guardSlotPorts: z.boolean().default(true),
  keepReleases: z.int(),
  keepBytes: z.number().nullable().default(null),
  signatures: z.enum(['off', 'warn', 'require']).default('off'),
  slots: z.strictObject({ blue: slotDefinition, green: slotDefinition }),
})

const slotIntent = z.strictObject({
  release,
  run: z.enum(['running', 'stopped']),
  incarnation: z.int().positive(),
  definition: slotDefinition,
})

const request = {
  id: z.int().positive(),
  kind: z.enum(['deploy', 'rollback', 'switch']),
  release,
  switchWhenReady: z.boolean(),
  force: z.boolean(),
  requestedAt: z.string(),
}
const ended = { code: z.enum(ERROR_CODES), reason: z.string() }
const deploy = z.discriminatedUnion('state', [
  z.strictObject({ ...request, slot, state: z.literal('draining'), until: monotonic }),
  z.strictObject({
    ...request,
    slot,
    state: z.literal('preparing'),
    until: monotonic,
    isInPlace: z.boolean().default(true),
  }),
  z.strictObject({ ...request, slot, state: z.literal('ready') }),
  z.strictObject({ ...request, slot, state: z.literal('switching'), until: monotonic }),
  z.strictObject({ ...request, slot, state: z.literal('baking'), until: monotonic, restartsBefore: z.int() }),
  z.strictObject({ ...request, slot, state: z.literal('live') }),
  z.strictObject({ ...request, slot, state: z.literal('failed'), ...ended }),
  z.strictObject({ ...request, slot, state: z.literal('rolled-back'), ...ended }),
])

const app = z.strictObject({
  name: z.string(),
  generation: z.int().positive(),
  definition,
  activeSlot: slot,
  paused: z.boolean(),
  slots: z.strictObject({ blue: slotIntent.nullable(), green: slotIntent.nullable() }),
  previousRelease: release.nullable(),
  deploy: deploy.nullable(),
  next: z.strictObject(request).nullable(),
  lastDeployId: z.int().nonnegative(),
  bad: z.array(release),
  // A file without it is of an older dorc: what was proven then is watched once more.
  proven: z.array(release).default([]),
  crashes: z
    .strictObject({ incarnation: z.int().positive(), seen: z.int(), at: z.array(monotonic) })
    .nullable()
    .default(null),
  removal: z.strictObject({ purge: z.boolean() }).nullable(),
}) satisfies z.ZodType<App>

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T
/** `satisfies` sees that no file is read as more than an App; this, that no App can be written which is not read again. */
type StoredApp = DeepReadonly<z.output<typeof app>>

const version = z.looseObject({ schema: z.number() })
const envelope = z.strictObject({
  schema: z.literal(SCHEMA_VERSION),
  bootId: z.string(),
  sha256: z.string(),
  app: z.unknown(),
})

export type ReadIntent =
  | { readonly ok: true; readonly app: App; readonly bootId: string }
  | { readonly ok: false; readonly reason: string }

/** Throws STATE_NOT_SAVED for what could not be read again: it must fail now and not after the next start. */
export function writeIntent(intent: App, bootId: string): string {
  const stored: StoredApp = intent
  const sha256 = digest(bootId, JSON.stringify(stored))
  const text = `${JSON.stringify({ schema: SCHEMA_VERSION, bootId, sha256, app: stored }, null, 1)}\n`
  const read = readIntent(text)
  if (read.ok) return text
  throw new DorcError('STATE_NOT_SAVED', `Cannot save "${intent.name}" so that it can be read again`, {
    cause: new Error(read.reason),
    hint: 'This is a bug in dorc, please report it',
  })
}

/** Never guesses: a file that is not exactly what was written is refused with the reason. */
export function readIntent(text: string): ReadIntent {
  const parsed = parseJson(text)
  if (!parsed.ok) return refused('it is not JSON, or cut off')
  const written = version.safeParse(parsed.value)
  if (!written.success) return refused('it is not an intent file')
  const { schema } = written.data
  if (schema !== SCHEMA_VERSION)
    return refused(`it was written by another version of dorc (schema ${schema}, not ${SCHEMA_VERSION})`)
  const outer = envelope.safeParse(parsed.value)
  if (!outer.success) return refused('it is not an intent file')
  const { bootId, sha256, app: stored } = outer.data
  if (digest(bootId, JSON.stringify(stored)) !== sha256) return refused('its checksum is wrong')
  const inner = app.safeParse(stored)
  if (!inner.success) return refused(z.prettifyError(inner.error).replaceAll('\n', ' '))
  return { ok: true, app: inner.data, bootId }
}

const refused = (reason: string): ReadIntent => ({ ok: false, reason })

function parseJson(text: string): { readonly ok: true; readonly value: unknown } | { readonly ok: false } {
  try {
    return { ok: true, value: JSON.parse(text) }
  } catch (error) {
    if (error instanceof SyntaxError) return { ok: false }
    throw error
  }
}

const digest = (bootId: string, body: string): string =>
  createHash('sha256').update(`${bootId}\n${body}`).digest('hex')
