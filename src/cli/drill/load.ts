import type { ListenAddress } from '../../core/definition.ts'
import { addVisit, emptyTally, type Tally } from '../../core/receipt.ts'
import { pause } from '../../platform/pause.ts'
import { visit, type VisitRequest } from '../../platform/visit.ts'

const VISITORS = 4
const PAUSE_MS = 5
const TIMEOUT_MS = 5_000

/** Visitors of a listen address, a few at a time, one visit after the other. */
export class DrillLoad {
  readonly #addresses: readonly ListenAddress[]
  readonly #request: VisitRequest | null
  readonly #end = new AbortController()
  readonly #running: Promise<unknown>
  #tally: Tally = emptyTally

  /** They begin at once. */
  constructor(addresses: readonly ListenAddress[], request: VisitRequest | null) {
    this.#addresses = addresses
    this.#request = request
    this.#running = Promise.all(Array.from({ length: VISITORS }, (_, at) => this.#visit(at)))
  }

  get tally(): Tally {
    return this.#tally
  }

  /** Lets the visits end that were begun. */
  async stop(): Promise<void> {
    this.#end.abort()
    await this.#running
  }

  async #visit(first: number): Promise<void> {
    const never = new AbortController().signal
    for (let at = first; !this.#end.signal.aborted; at += 1) {
      const address = this.#addresses[at % this.#addresses.length]
      if (address === undefined) return
      const made = await visit(address, { request: this.#request, timeoutMs: TIMEOUT_MS, signal: never })
      this.#tally = addVisit(this.#tally, made)
      await pause(PAUSE_MS, this.#end.signal)
    }
  }
}
