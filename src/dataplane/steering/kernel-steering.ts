import { describeError } from '../../core/errors.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Logger } from '../../platform/log.ts'
import type { IncidentListener, PlaneIncident } from '../dataplane.ts'
import { tryKernel } from './availability.ts'
import { closeKernel, damageOf, type Kernel } from './kernel.ts'
import type { MapFds } from './program.ts'
import { SteeringTable } from './steering-table.ts'

/** Pins and link are looked after this often; it costs a few system calls. */
const CHECK_MS = 3_000
/** A kernel that does not steer is asked again after so long: rights and mounts change by hand, if at all. */
const UNAVAILABLE_RETRY_MS = 60_000

export interface KernelSteeringOptions {
  readonly pins: string | null
  readonly log: Logger
  readonly clock: Clock
  /** Called back with the table empty, once this returned and each time that the kernel's state had to be made anew. */
  readonly fill: () => void
}

/** Keeps the kernel's side alive: opens it, looks after pins and link, and makes anew what somebody took away. */
export class KernelSteering implements Disposable {
  readonly #options: KernelSteeringOptions
  #kernel: Kernel | null = null
  #table: SteeringTable | null = null
  #reason: string | null = null
  #restored = 0
  readonly #incidentListeners: IncidentListener[] = []
  #cancel: () => void = () => undefined

  constructor(options: KernelSteeringOptions) {
    this.#options = options
    this.#open()
    this.#schedule()
  }

  /** null: this host does not steer, at the moment. */
  get table(): SteeringTable | null {
    return this.#table
  }

  get maps(): MapFds | null {
    return this.#kernel?.maps ?? null
  }

  /** Why this host does not steer, in one line. */
  get reason(): string | null {
    return this.#reason
  }

  onIncident(listener: IncidentListener): void {
    this.#incidentListeners.push(listener)
  }

  /** What is pinned stays in force. */
  [Symbol.dispose](): void {
    this.#cancel()
    this.#close()
  }

  #schedule(): void {
    const delayMs = this.#kernel === null ? UNAVAILABLE_RETRY_MS : CHECK_MS
    this.#cancel = this.#options.clock.after(delayMs, () => {
      this.#check()
      this.#schedule()
    })
  }

  #check(): void {
    const { log, fill, pins } = this.#options
    const before = this.#kernel
    const damage = before === null ? this.#reason : describeDamage(before, pins)
    if (damage === null) return
    this.#kernel = null
    this.#open()
    if (this.#kernel === null) {
      if (before !== null) {
        log.error('steering is lost', { damage, reason: this.#reason })
        this.#tell({
          type: 'steering-lost',
          message: `The relay carries: ${damage}, and ${this.#reason ?? 'nobody knows why'}`,
        })
      }
    } else {
      fill()
      log.warn('steering is back', { damage, times: ++this.#restored })
      this.#tell({ type: 'steering-restored', message: `The kernel steers again; before: ${damage}` })
    }
    // Only now: until its successor was filled it may have steered on.
    if (before !== null) closeKernel(before)
  }

  #tell(incident: PlaneIncident): void {
    for (const listener of this.#incidentListeners) listener(incident)
  }

  #open(): void {
    const opened = tryKernel(this.#options.pins)
    this.#reason = typeof opened === 'string' ? opened : null
    this.#kernel = typeof opened === 'string' ? null : opened
    this.#table = this.#kernel === null ? null : new SteeringTable(this.#kernel.maps)
  }

  #close(): void {
    if (this.#kernel !== null) closeKernel(this.#kernel)
    this.#kernel = null
    this.#table = null
  }
}

function describeDamage(kernel: Kernel, pins: string | null): string | null {
  try {
    return damageOf(kernel, pins)
  } catch (error) {
    return describeError(error)
  }
}
