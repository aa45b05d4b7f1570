import * as z from 'zod'
import type { DeployState, ReleaseNumber, Slot } from '../core/app.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { Receipt } from '../core/receipt.ts'

/**
 * The daemon's API: HTTP and JSON over the unix socket. docs/api.md tells it to people.
 *
 *   GET    /v1/version                         Version
 *   GET    /v1/apps                            StatusReport
 *   GET    /v1/apps/APP                        AppStatus
 *   POST   /v1/apps                            RegisterRequest → Accepted
 *   POST   /v1/apps/APP/deploys                DeployCommand → lines of ProgressLine, until the deploy ends
 *   POST   /v1/apps/APP/switch                 SwitchCommand → lines of ProgressLine
 *   POST   /v1/apps/APP/rollback               RollbackCommand → lines of ProgressLine
 *   POST   /v1/apps/APP/run                    RunCommand → Accepted
 *   POST   /v1/apps/APP/load                   {} → Accepted
 *   DELETE /v1/apps/APP                        RemoveCommand → Accepted
 *   GET    /v1/apps/APP/releases               { releases: ReleaseSummary[] }
 *   GET    /v1/apps/APP/verify?release         { releases: ReleaseCheck[] }; without a release all of them
 *   GET    /v1/apps/APP/connections?slot       { connections: ConnectionSummary[] }
 *   POST   /v1/apps/APP/close                  CloseCommand → lines of CloseLine
 *   GET    /v1/apps/APP/logs?slot&lines&follow lines of LogEntry
 *   GET    /v1/events?app&lines&follow         lines of JournalEvent
 *   POST   /v1/check                           RegisterRequest → CheckReport: what register would say, changing nothing
 *
 * Each change carries `If-Match: "GENERATION"` of the app as the caller saw it, or `If-Match: *`; another
 * generation is answered with 412 and CONFLICT. A failure is answered with ErrorBody. Streams are one JSON
 * document a line (application/x-ndjson).
 */

const slot = z.enum(['blue', 'green'])

export const registerRequest = z.strictObject({
  name: z.string(),
  /** The text of the app's file, kept as it is with its comments. */
  toml: z.string().max(64 * 1024),
})
export type RegisterRequest = z.infer<typeof registerRequest>

export const deployCommand = z.strictObject({
  /** null: what lies in the upload directory. Read with the rights of the caller. */
  path: z.string().nullable(),
  switch: z.boolean(),
  force: z.boolean(),
  /** Return when the deploy is under way (false), or follow it to its end. */
  wait: z.enum(['no', 'ready', 'live']),
})
export type DeployCommand = z.infer<typeof deployCommand>

export const switchCommand = z.strictObject({ to: slot.nullable(), force: z.boolean() })
export type SwitchCommand = z.infer<typeof switchCommand>

export const rollbackCommand = z.strictObject({ release: z.int().positive().nullable(), force: z.boolean() })
export type RollbackCommand = z.infer<typeof rollbackCommand>

export const runCommand = z.strictObject({
  action: z.enum(['start', 'stop', 'restart', 'reload', 'pause', 'resume']),
  /** null: both. */
  slot: slot.nullable(),
})
export type RunCommand = z.infer<typeof runCommand>

export const closeCommand = z.strictObject({
  slot,
  /** Only connections that are at least so old; null: of any age. */
  olderMs: z.int().min(0).nullable(),
  /** With `olderMs`: those of unknown age, too. */
  unknownAge: z.boolean(),
  /** Spread evenly over so long. */
  spreadMs: z.int().min(0).max(86_400_000),
  /** Also if the slot is the active one. */
  force: z.boolean(),
})
export type CloseCommand = z.infer<typeof closeCommand>

export const removeCommand = z.strictObject({ purge: z.boolean() })
export type RemoveCommand = z.infer<typeof removeCommand>

export interface Version {
  readonly version: string
  readonly supervisor: 'systemd' | 'embedded'
  readonly pid: number
}

export interface ErrorBody {
  readonly error: { readonly code: ErrorCode; readonly message: string; readonly hint: string | null }
}

export interface Accepted {
  readonly app: AppStatus | null
}

export interface CheckReport {
  /** Ports of slots that nobody uses, outside the ephemeral range; for the wizard to propose. */
  readonly freePorts: readonly number[]
  readonly problems: readonly {
    /** Of the file's text; null: the file as a whole. */
    readonly line: number | null
    readonly key: string | null
    readonly message: string
    readonly hint: string | null
  }[]
}

export interface StatusReport {
  readonly apps: readonly AppStatus[]
  /** Apps whose state or file could not be read: set aside, the others run. */
  readonly setAside: readonly { readonly name: string; readonly reason: string }[]
}

export interface AppStatus {
  readonly name: string
  readonly listen: string
  /** Leads to the inactive slot; null: there is none. */
  readonly preview: string | null
  /** Why that address does not work; null if it does. */
  readonly previewProblem: string | null
  readonly uploadDir: string
  /** Why nothing that is uploaded would be seen; null if it would. */
  readonly uploadProblem: string | null
  readonly active: Slot
  readonly generation: number
  readonly paused: boolean
  /** New connections that wait: while it is paused, or until the slot listens. */
  readonly held: number
  readonly dataPlane: 'steering' | 'relay'
  readonly dataPlaneReason: string | null
  readonly slots: Readonly<Record<Slot, SlotStatus>>
  readonly deploy: DeployStatus | null
  /** What dorc asks the app for as its visitor, with a Host header or null for the address; null: it only connects. */
  readonly request: { readonly path: string; readonly host: string | null } | null
  /** Of the newest switch from slot to slot since the daemon started; null: there was none. */
  readonly lastReceipt: Receipt | null
  /** What to do next, in a sentence or two with the command; null if all is well. */
  readonly nextStep: string | null
}

export interface SlotStatus {
  readonly unit: string
  readonly state: 'empty' | 'starting' | 'running' | 'stopped' | 'failed'
  readonly ready: boolean
  readonly release: ReleaseNumber | null
  readonly digest: string | null
  readonly port: number
  readonly pid: number | null
  readonly since: string | null
  readonly restarts: number
  readonly connections: number
  readonly memoryBytes: number | null
  readonly lastProbe: { readonly ok: boolean; readonly detail: string } | null
  /** Named ways out of the sandbox that this slot uses. */
  readonly sandboxExceptions: readonly string[]
}

export interface DeployStatus {
  readonly id: number
  readonly kind: 'deploy' | 'rollback' | 'switch'
  readonly release: ReleaseNumber
  readonly slot: Slot
  readonly state: DeployState
  /** Of one that failed or took itself back; null for the others, as `code` is. */
  readonly reason: string | null
  readonly code: ErrorCode | null
  readonly startedAt: string
  /** ISO time at which the present phase times out; null where it does not. */
  readonly deadline: string | null
}

/** Why a slot does not do what it should. */
export interface WhyReport {
  readonly app: string
  readonly slot: Slot
  readonly release: ReleaseNumber | null
  readonly state: SlotStatus['state']
  /** One sentence; null: nothing is wrong. */
  readonly verdict: string | null
  /** How its process ended last, as the supervisor tells it; null: it has not, or nobody knows any more. */
  readonly exit: string | null
  readonly restarts: number
  /** The last lines of the start that ended last; of the slot, if none did. */
  readonly log: readonly LogEntry[]
  readonly ports: { readonly expected: number; readonly listening: readonly number[] }
  readonly probe: { readonly request: string | null; readonly ok: boolean; readonly detail: string } | null
  /** Against the newest other release that was live; null: there is none, or its files are gone. */
  readonly changes: {
    readonly since: ReleaseNumber
    readonly files: readonly FileChange[]
    /** How many more there are than are listed. */
    readonly more: number
  } | null
  readonly next: string
}

export interface FileChange {
  readonly path: string
  readonly kind: 'added' | 'removed' | 'changed'
  /** Bytes; null: not there, or no file. */
  readonly before: number | null
  readonly after: number | null
}

export interface ReleaseSummary {
  readonly release: ReleaseNumber
  readonly digest: string
  readonly takenInAt: string
  readonly files: number
  readonly bytes: number
  /** Who signed it; null: nobody, or it was not asked. */
  readonly signedBy: string | null
  readonly slots: readonly Slot[]
  readonly bad: boolean
}

/** A release whose files were read again. */
export interface ReleaseCheck {
  readonly release: ReleaseNumber
  readonly files: number
  readonly bytes: number
  /** In the store, and in the slots that have it. Empty: everything is as it was taken in. */
  readonly deviations: readonly {
    readonly where: 'store' | Slot
    readonly path: string
    readonly problem: string
  }[]
}

/** One line of the answer to deploy, switch and rollback. The last one has `done`. */
export type ProgressLine =
  | { readonly kind: 'take-in'; readonly files: number; readonly bytes: number }
  | {
      readonly kind: 'taken-in'
      readonly release: ReleaseNumber
      readonly files: number
      readonly bytes: number
    }
  | {
      readonly kind: 'draining'
      readonly connections: number
      readonly secondsLeft: number
      /** Of the oldest one whose age is known; null: of none. */
      readonly oldestMs: number | null
      /** The clients with the most connections, at most three. */
      readonly peers: readonly { readonly host: string; readonly connections: number }[]
    }
  | { readonly kind: 'deploy'; readonly deploy: DeployStatus }
  | { readonly kind: 'probe'; readonly slot: Slot; readonly ok: boolean; readonly detail: string }
  | { readonly kind: 'waiting'; readonly reason: string }
  | ({ readonly kind: 'receipt' } & Receipt)
  | {
      readonly kind: 'done'
      readonly ok: boolean
      readonly message: string
      readonly error: ErrorBody['error'] | null
      /** That it was about; what is active may have changed again since. null: about none. */
      readonly slot: Slot | null
      readonly app: AppStatus
    }

/** A client's connection with a slot. */
export interface ConnectionSummary {
  readonly id: string
  readonly slot: Slot
  readonly via: 'steering' | 'relay'
  readonly peer: { readonly host: string; readonly port: number }
  /** null: nobody saw it begin. */
  readonly ageMs: number | null
  readonly bytesIn: number
  readonly bytesOut: number
  /** null: no process has accepted it yet. */
  readonly process: { readonly pid: number; readonly command: string } | null
}

/** One line of the answer to close. `gone`: they had ended by themselves. The last one has `done`. */
export type CloseLine =
  | ({ readonly kind: 'closing' } & ClosedSoFar)
  | ({
      readonly kind: 'done'
      readonly ok: boolean
      readonly message: string
      readonly error: ErrorBody['error'] | null
    } & ClosedSoFar)

export interface ClosedSoFar {
  readonly found: number
  readonly closed: number
  readonly gone: number
  /** Left alone because nobody knows how old they are. */
  readonly ofUnknownAge: number
}

export interface LogEntry {
  readonly at: string
  readonly slot: Slot
  readonly text: string
}

/** The journal is for people: it never decides anything. */
export interface JournalEvent {
  readonly seq: number
  readonly at: string
  readonly app: string | null
  readonly type: string
  readonly message: string
  readonly deploy: number | null
  /** Who asked: uid and pid of the peer, null where dorc itself did. */
  readonly by: { readonly uid: number; readonly pid: number; readonly user: string | null } | null
}
