import { describeError } from '../core/errors.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/log.ts'
import { ChangeHints } from './change-hints.ts'
import { runCopier } from './copier.ts'
import { lookAtTree, type TreeLook } from './fingerprint.ts'

export interface UploadWatchOptions {
  readonly app: string
  /** Absolute; it need not exist yet. */
  readonly uploadDir: string
  /** How long nothing may change, in milliseconds, until an upload counts as complete. */
  readonly settleMs: number
  /** Which upload was dealt with last, kept across restarts of the daemon. */
  readonly handled: {
    load(): Promise<string | null> | string | null
    save(fingerprint: string): Promise<void> | void
  }
  readonly clock: Clock
  readonly log: Logger
  /**
   * An upload is complete. `handled`: not again until something in it changes; `retry`: again after a while. A failure
   * counts as `retry`.
   */
  readonly onStill: (fingerprint: string) => Promise<'handled' | 'retry'>
}

export interface UploadWatch {
  /** Looks now. Nothing is still any sooner for it. */
  rescan(): void
  /** No call of `onStill` begins after it; one that is under way goes on. */
  close(): void
}

/** The slowest that a change is found without a hint, in a small tree; a large one is looked at less often. */
const POLL_MS = 2_000
const SLOWEST_POLL_MS = 60_000
/** Looking takes at most a thousandth of the time when nothing happens, and a tenth while hints come in. */
const IDLE_SHARE = 1_000
const BUSY_SHARE = 10
const HINT_DELAY_MS = 200
const FIRST_RETRY_MS = 5_000
const SLOWEST_RETRY_MS = 300_000

/**
 * Calls `onStill` when the upload directory holds something that was not handled yet and that has been the same for
 * `settleMs`, by looks that saw the same names, kinds, rights, sizes, times and inodes, with no process at work in it.
 * File events only bring a look forward. The directory may vanish, appear and be replaced.
 */
export function watchUploads(options: UploadWatchOptions): UploadWatch {
  return new Watch(options)
}

class Watch implements UploadWatch {
  readonly #options: UploadWatchOptions
  readonly #hints: ChangeHints
  #cancelTimer: () => void = () => undefined
  #isClosed = false
  /** A look, or `onStill`, is under way. */
  #isBusy = false
  /** Hinted, or asked for, while busy. */
  #isDue = false
  /** When the next look is due, on the clock. */
  #lookAt = Number.POSITIVE_INFINITY
  #costMs = 0
  /** undefined: not loaded yet. */
  #handled: string | null | undefined = undefined
  /** What was seen at the last look, and since when. */
  #seen: { readonly fingerprint: string; readonly since: number } | null = null
  #retry: { readonly fingerprint: string; readonly at: number; readonly delayMs: number } | null = null

  constructor(options: UploadWatchOptions) {
    this.#options = options
    this.#hints = new ChangeHints(() => this.#lookWithin(Math.max(HINT_DELAY_MS, this.#costMs * BUSY_SHARE)))
    this.#lookWithin(0)
  }

  rescan(): void {
    this.#lookWithin(0)
  }

  close(): void {
    this.#isClosed = true
    this.#cancelTimer()
    this.#hints[Symbol.dispose]()
  }

  #lookWithin(ms: number): void {
    if (this.#isClosed) return
    if (this.#isBusy) {
      this.#isDue = true
      return
    }
    const { clock } = this.#options
    const at = clock.now() + ms
    if (at >= this.#lookAt) return
    this.#cancelTimer()
    this.#lookAt = at
    this.#cancelTimer = clock.after(ms, () => void this.#turn())
  }

  /** Never fails: it is nobody's to await. */
  async #turn(): Promise<void> {
    this.#isBusy = true
    this.#isDue = false
    this.#lookAt = Number.POSITIVE_INFINITY
    let waitMs = POLL_MS
    try {
      waitMs = await this.#look()
    } catch (error) {
      this.#options.log.error('upload watch failed', { app: this.#options.app, error })
    }
    this.#isBusy = false
    this.#lookWithin(this.#isDue ? Math.max(HINT_DELAY_MS, this.#costMs * BUSY_SHARE) : waitMs)
  }

  /** One look, and what follows from it. Returns in how many milliseconds the next one is due without a hint. */
  async #look(): Promise<number> {
    const { clock, handled, settleMs, uploadDir } = this.#options
    this.#handled ??= await handled.load()
    const look = await lookAtTree(uploadDir)
    this.#follow(look)
    const pollMs = Math.min(SLOWEST_POLL_MS, Math.max(POLL_MS, look.costMs * IDLE_SHARE))
    const { fingerprint } = look
    if (fingerprint === null || fingerprint === this.#handled) {
      this.#seen = null
      return pollMs
    }
    const now = clock.now()
    if (this.#seen?.fingerprint !== fingerprint) this.#seen = { fingerprint, since: now }
    const stillMs = now - this.#seen.since
    if (stillMs < settleMs) return settleMs - stillMs
    if (this.#retry?.fingerprint === fingerprint && now < this.#retry.at) return this.#retry.at - now
    if (await this.#hasWriters()) return Math.max(settleMs, POLL_MS)
    return this.#handle(fingerprint, pollMs)
  }

  #follow(look: TreeLook): void {
    this.#costMs = look.costMs
    if (!this.#isClosed) this.#hints.follow(look.directories)
  }

  /** Asked only when all else is still, because it looks through all processes. */
  async #hasWriters(): Promise<boolean> {
    const { app, log, uploadDir } = this.#options
    try {
      const [writer] = await runCopier('writers', { path: uploadDir })
      return writer !== undefined
    } catch (error) {
      // Whatever is wrong with the tree is said by taking it in.
      log.warn('upload writers unknown', { app, error: describeError(error) })
      return false
    }
  }

  async #handle(fingerprint: string, pollMs: number): Promise<number> {
    if (this.#isClosed) return pollMs
    const { app, clock, handled, log, onStill } = this.#options
    const outcome = await onStill(fingerprint).catch((error: unknown) => {
      log.error('upload not handled', { app, error })
      return 'retry' as const
    })
    if (outcome === 'handled') {
      this.#retry = null
      await handled.save(fingerprint)
      this.#handled = fingerprint
      return pollMs
    }
    const before = this.#retry?.fingerprint === fingerprint ? this.#retry.delayMs : FIRST_RETRY_MS / 2
    const delayMs = Math.min(SLOWEST_RETRY_MS, before * 2)
    this.#retry = { fingerprint, at: clock.now() + delayMs, delayMs }
    return delayMs
  }
}
