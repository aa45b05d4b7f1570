import type { ReleaseNumber } from '../core/app.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { Progress } from './progress.ts'
import type { InstallJob } from './install.ts'
import type { ManifestJob } from './manifest-of-dir.ts'
import type { TakenIn } from './publish-release.ts'
import type { Installed } from './slot-layout.ts'
import type { SlotCheck, Verification } from './read-release.ts'
import type { TakeInJob } from './take-in.ts'
import type { UninstallJob } from './uninstall.ts'
import type { Deviation } from './verify-tree.ts'
import type { Writer } from './writers.ts'

/**
 * What the daemon and a copier say to each other: one job, as a line of JSON on stdin, which then stays open for as
 * long as the daemon wants the result; and lines of JSON on stdout, of which the last is the result or the error.
 */
export interface Jobs {
  'take-in': { readonly args: TakeInJob; readonly result: TakenIn }
  install: { readonly args: InstallJob; readonly result: Installed }
  uninstall: { readonly args: UninstallJob; readonly result: null }
  verify: { readonly args: { appPath: string; number: ReleaseNumber }; readonly result: Verification }
  'verify-slot': { readonly args: SlotCheck; readonly result: readonly Deviation[] }
  remove: { readonly args: { appPath: string; numbers: readonly ReleaseNumber[] }; readonly result: null }
  'remove-app': { readonly args: { appPath: string }; readonly result: null }
  clean: { readonly args: { appPaths: readonly string[] }; readonly result: null }
  manifest: { readonly args: ManifestJob; readonly result: string }
  writers: { readonly args: { path: string }; readonly result: readonly Writer[] }
}

export type JobKind = keyof Jobs

export type Job = { [Kind in JobKind]: { readonly kind: Kind; readonly args: Jobs[Kind]['args'] } }[JobKind]

export type CopierLine =
  | { readonly type: 'progress'; readonly progress: Progress }
  | { readonly type: 'result'; readonly result: Jobs[JobKind]['result'] }
  | {
      readonly type: 'error'
      /** null: a bug of ours; the message is its stack. */
      readonly code: ErrorCode | null
      readonly message: string
      readonly hint: string | null
      readonly cause: string | null
    }
