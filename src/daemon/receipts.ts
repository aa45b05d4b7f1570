import type { App, Slot, Step } from '../core/app.ts'
import type { Probe } from '../core/definition.ts'
import { type Receipt, receiptText, reachedWrongSlot } from '../core/receipt.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import type { Prober } from '../health/prober.ts'
import type { Logger } from '../platform/log.ts'
import { visitRequest } from '../health/visit-request.ts'
import type { VisitRequest } from '../platform/visit.ts'
import type { Chronicle } from './chronicle.ts'
import type { Observation } from './observe.ts'
import { SwitchWitness } from './switch-witness.ts'

export interface ReceiptDeps {
  readonly dataPlane: DataPlane
  readonly prober: Prober
  readonly chronicle: Chronicle
  readonly log: Logger
  /** New connections go to that slot from now on, and went to the other before. */
  readonly onSwitched: (app: App, to: Slot) => void
  /** A receipt is written. */
  readonly onWritten: () => void
}

type RouteStep = Extract<Step, { kind: 'route' }>

interface Written {
  receipt: Receipt | null
  writing: Promise<void>
}

/** Whoever follows a deploy asks for its receipt when the next switch may have come. */
const MOST_KEPT = 10

const probeOf = ({ slots, definition }: App, slot: Slot): Probe =>
  slots[slot]?.definition.probe ?? definition.slots[slot].probe

/** The receipts of one app. One is being written at a time: the next switch ends the look at the one before. */
export class Receipts {
  readonly #deps: ReceiptDeps
  /** By deploy, the newest last. */
  readonly #of = new Map<number | null, Written>()
  #last: Receipt | null = null
  #witness: SwitchWitness | null = null

  constructor(deps: ReceiptDeps) {
    this.#deps = deps
  }

  /** The newest; null: none since the daemon started. */
  get last(): Receipt | null {
    return this.#last
  }

  /** Of a deploy's newest switch, once it is written; null: not written (yet). */
  writtenOf(deploy: number): Receipt | null {
    return this.#of.get(deploy)?.receipt ?? null
  }

  /** Of a deploy's newest switch; null: there was none. Resolves within a few seconds. */
  async of(deploy: number): Promise<Receipt | null> {
    const written = this.#of.get(deploy)
    await written?.writing
    return written?.receipt ?? null
  }

  /** Carries a route step out by `tell`; if it moves traffic from one slot to another, that is witnessed. Throws what `tell` throws. */
  async during(
    step: RouteStep,
    { app, observation }: { app: App; observation: Observation | null },
    tell: () => Promise<void>,
  ): Promise<void> {
    const from = observation?.observed.route?.target?.slot ?? null
    const to = step.target?.slot ?? null
    const isSwitch = from !== null && to !== null && from !== to
    if (!isSwitch || step.paused) return await tell()
    this.#witness?.stop()
    const witness = this.#witnessOf(app, from, to)
    this.#witness = witness
    try {
      await tell()
    } catch (error) {
      witness.stop()
      throw error
    }
    this.#deps.onSwitched(app, to)
    this.#begin(app, witness)
  }

  /** Ends what is being written. */
  async close(): Promise<void> {
    this.#witness?.stop()
    await Promise.all([...this.#of.values()].map(({ writing }) => writing))
  }

  #begin(app: App, witness: SwitchWitness): void {
    const deploy = app.deploy?.id ?? null
    const written: Written = { receipt: null, writing: Promise.resolve() }
    written.writing = this.#write(app, witness).then((receipt) => {
      written.receipt = receipt
      if (this.#witness === witness) this.#last = receipt
      this.#deps.onWritten()
    })
    this.#of.delete(deploy)
    this.#of.set(deploy, written)
    const [oldest] = this.#of.keys()
    if (this.#of.size > MOST_KEPT && oldest !== undefined) this.#of.delete(oldest)
  }

  /** What a visitor of that slot asks for; null: it does not speak HTTP, as far as is known. */
  requestTo(app: App, slot: Slot): VisitRequest | null {
    return visitRequest(probeOf(app, slot), this.#deps.prober.speaks(app.name, slot))
  }

  #witnessOf(app: App, from: Slot, to: Slot): SwitchWitness {
    const { name, definition } = app
    const { listen } = definition
    const request = this.requestTo(app, to)
    return new SwitchWitness(
      { app: name, from, to, listen, request, patienceMs: probeOf(app, to).timeoutMs },
      { dataPlane: this.#deps.dataPlane, log: this.#deps.log },
    )
  }

  async #write(app: App, witness: SwitchWitness): Promise<Receipt> {
    const receipt = await witness.conclude()
    const type = reachedWrongSlot(receipt) ? 'wrong-slot' : 'receipt'
    const deploy = app.deploy?.id ?? null
    this.#deps.chronicle.record(app.name, { type, message: receiptText(receipt), deploy }, null)
    return receipt
  }
}
