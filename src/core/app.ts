import type { Definition, SlotDefinition } from './definition.ts'
import type { ErrorCode } from './errors.ts'

/** The vocabulary of the policy. What is stored is intent; what is observed is never stored. */

export type Slot = 'blue' | 'green'
export const SLOTS = ['blue', 'green'] as const satisfies readonly Slot[]
export const otherSlot = (slot: Slot): Slot => (slot === 'blue' ? 'green' : 'blue')

/** 1, 2, 3, … within one app; never used twice. */
export type ReleaseNumber = number

/**
 * Milliseconds of CLOCK_MONOTONIC. Comparable between processes of one boot and worthless after it,
 * so whatever is stored with it carries the boot id.
 */
export type MonotonicMs = number

/** What the operator asked for. One file per app; only `core/` changes it. */
export interface App {
  readonly name: string
  /** Rises by one with each change of intent. */
  readonly generation: number
  readonly definition: Definition
  readonly activeSlot: Slot
  readonly paused: boolean
  /** null: nothing was ever deployed into the slot. */
  readonly slots: Readonly<Record<Slot, SlotIntent | null>>
  /** What was active before; where `rollback` without a number leads. */
  readonly previousRelease: ReleaseNumber | null
  /** The newest deploy, ended or not. */
  readonly deploy: Deploy | null
  /** A deploy that waits until the present one may be replaced. */
  readonly next: DeployRequest | null
  readonly lastDeployId: number
  /** Releases that took themselves back; never picked again unless forced. */
  readonly bad: readonly ReleaseNumber[]
  /** Releases that have been live: watched for a whole bake, or the first of all. */
  readonly proven: readonly ReleaseNumber[]
  /** Of the active slot's process; null: not counted. */
  readonly crashes: Crashes | null
  readonly removal: { readonly purge: boolean } | null
}

export interface Crashes {
  readonly incarnation: number
  /** Restarts that were counted already. */
  readonly seen: number
  /** The newest, as many as matter. */
  readonly at: readonly MonotonicMs[]
}

export interface SlotIntent {
  readonly release: ReleaseNumber
  readonly run: 'running' | 'stopped'
  /** Changes whenever the slot is to be made anew (deploy, restart): the identity of what should run. */
  readonly incarnation: number
  /** As it was when this incarnation was decided: a later `load` does not change what runs. */
  readonly definition: SlotDefinition
}

export interface DeployRequest {
  readonly id: number
  readonly kind: 'deploy' | 'rollback' | 'switch'
  readonly release: ReleaseNumber
  readonly switchWhenReady: boolean
  readonly force: boolean
  /** Wall clock, for people; decides nothing. */
  readonly requestedAt: string
}

/** A deploy is the one thing that the world cannot tell again after a crash: intent, deadline, outcome. */
export type Deploy = DeployRequest & { readonly slot: Slot } & DeployPhase

export type DeployPhase =
  | { readonly state: 'draining'; readonly until: MonotonicMs }
  /** Until it is in place, `until` is for that; then it gets its full time to be ready. */
  | { readonly state: 'preparing'; readonly until: MonotonicMs; readonly isInPlace: boolean }
  | { readonly state: 'ready' }
  | { readonly state: 'switching'; readonly until: MonotonicMs }
  | { readonly state: 'baking'; readonly until: MonotonicMs; readonly restartsBefore: number }
  | { readonly state: 'live' }
  | { readonly state: 'failed'; readonly code: ErrorCode; readonly reason: string }
  | { readonly state: 'rolled-back'; readonly code: ErrorCode; readonly reason: string }

export type DeployState = DeployPhase['state']

/** What supervisor, data plane, release store and prober report now. */
export interface Observed {
  readonly slots: Readonly<Record<Slot, ObservedSlot>>
  readonly route: ObservedRoute | null
  readonly preview: ObservedRoute | null
}

export interface ObservedRoute {
  readonly listen: string
  /** null: new connections are held. */
  readonly target: Target | null
  readonly paused: boolean
  /** Ports that other hosts are kept off, lowest first. */
  readonly guardedPorts: readonly number[]
}

export interface Target {
  readonly slot: Slot
  readonly host: string
  readonly port: number
}

export interface ObservedSlot {
  /** The incarnation whose files and unit are completely in place; null when there is none or only half of one. */
  readonly installed: number | null
  readonly unit: UnitState
  /** Restarts by the supervisor since dorc started this incarnation. */
  readonly restarts: number
  /** How the process ended last, for people: `exit status 1`, `signal KILL`. */
  readonly lastExit: string | null
  readonly listener: Listener
  readonly health: Health
  /** Open connections that came through the listen address. */
  readonly connections: number
  /** Why the last step towards the wanted incarnation failed. */
  readonly problem: Problem | null
}

export interface Problem {
  readonly code: ErrorCode
  readonly message: string
}

/** Who listens on the slot's port. `foreign` is never given a connection. */
export type Listener =
  | { readonly state: 'none' }
  | { readonly state: 'owned'; readonly host: string; readonly port: number }
  | { readonly state: 'foreign'; readonly detail: string }

/** systemd's own words (org.freedesktop.systemd1, ActiveState). */
export type UnitState = 'inactive' | 'activating' | 'active' | 'deactivating' | 'failed'

/** Judged anew for every start of the process; `unknown` until the first probe of that start. */
export type Health =
  | { readonly state: 'unknown' }
  | { readonly state: 'passing'; readonly since: MonotonicMs; readonly detail: string }
  | { readonly state: 'failing'; readonly failures: number; readonly detail: string }

/** What is to be done to the host. Each may run twice; each is idempotent. */
export type Step =
  | {
      readonly kind: 'route'
      readonly target: Target | null
      readonly paused: boolean
      readonly guardedPorts: readonly number[]
    }
  | { readonly kind: 'preview'; readonly target: Target | null }
  | { readonly kind: 'unroute' }
  | { readonly kind: 'unpreview' }
  | { readonly kind: 'stop-slot'; readonly slot: Slot }
  | { readonly kind: 'install-slot'; readonly slot: Slot; readonly intent: SlotIntent }
  | { readonly kind: 'start-slot'; readonly slot: Slot }
  | { readonly kind: 'uninstall-slot'; readonly slot: Slot; readonly purge: boolean }
  | { readonly kind: 'forget-app'; readonly purge: boolean }

export type StepKind = Step['kind']
