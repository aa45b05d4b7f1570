import type { Socket } from 'node:net'
import type { Slot } from '../core/app.ts'
import type { ListenAddress } from '../core/definition.ts'
import { addVisit, emptyTally, type Receipt, type Tally } from '../core/receipt.ts'
import type { Connection, DataPlane } from '../dataplane/dataplane.ts'
import type { Logger } from '../platform/log.ts'
import { pause } from '../platform/pause.ts'
import { addressesOf, openConnection, visit, type VisitRequest } from '../platform/visit.ts'

export interface WitnessedSwitch {
  readonly app: string
  readonly from: Slot
  readonly to: Slot
  readonly listen: ListenAddress
  /** null: the app does not speak HTTP, so that it is only connected to. */
  readonly request: VisitRequest | null
  /** How long an answer may take, in ms. */
  readonly patienceMs: number
}

export interface WitnessDeps {
  readonly dataPlane: Pick<DataPlane, 'connections' | 'observe'>
  readonly log: Logger
}

/** Once the switch is in force: at least so long and so many tries more, at most so long. */
const AFTERWARDS_MS = 200
const TRIES_AFTERWARDS = 10
const LONGEST_MS = 3_500
const LONGEST_TRY_MS = 3_000
/** The first tries follow each other closely; should the switch take long, the app is not flooded meanwhile. */
const CLOSE_TRIES = 150
const CLOSE_PAUSE_MS = 1
const WIDE_PAUSE_MS = 10
const MOST_TRIES = 400
/** When to look for the connection of the proof: an app takes one within moments, and a long list costs to make. */
const LOOKS_AFTER_MS = [2, 5, 10, 30, 100, 300, 900, 1_500]

/**
 * A client of the public address on this host, from just before the data plane is told of a switch until shortly after
 * it is in force. It delays nothing: whoever switches goes on meanwhile.
 */
export class SwitchWitness {
  readonly #switch: WitnessedSwitch
  readonly #deps: WitnessDeps
  readonly #stopped = new AbortController()
  /** Aborts with `#stopped`, too. */
  readonly #over = new AbortController()
  readonly #trying: Promise<void>
  #tally: Tally = emptyTally

  /** The tries begin at once. */
  constructor(witnessed: WitnessedSwitch, deps: WitnessDeps) {
    this.#switch = witnessed
    this.#deps = deps
    this.#trying = this.#keepTrying()
  }

  /** Ends it early: another switch follows, the switch failed, or the daemon ends. */
  stop(): void {
    this.#stopped.abort()
    this.#over.abort()
  }

  /** To be called when the switch is in force; resolves within a few seconds. Never throws. */
  async conclude(): Promise<Receipt> {
    const proving = this.#prove()
    await this.#afterwards()
    this.#over.abort()
    const [proof, left] = await Promise.all([proving, this.#countLeft(), this.#trying])
    const { from, to, request } = this.#switch
    return { from, to, tries: request === null ? 'tcp' : 'http', ...this.#tally, left, ...proof }
  }

  async #keepTrying(): Promise<void> {
    const { signal } = this.#over
    const { listen, request, patienceMs } = this.#switch
    const addresses = addressesOf(listen)
    const timeoutMs = Math.min(patienceMs, LONGEST_TRY_MS)
    for (let at = 0; at < MOST_TRIES && !signal.aborted; at += 1) {
      const address = addresses[at % addresses.length] ?? listen
      this.#tally = addVisit(this.#tally, await visit(address, { request, timeoutMs, signal }))
      await pause(at < CLOSE_TRIES ? CLOSE_PAUSE_MS : WIDE_PAUSE_MS, signal)
    }
  }

  async #afterwards(): Promise<void> {
    const { signal } = this.#over
    const triedBefore = this.#tally.tried
    const startedAt = performance.now()
    const isEnough = (): boolean => {
      const tookMs = performance.now() - startedAt
      const isTried = this.#tally.tried - triedBefore >= TRIES_AFTERWARDS
      return tookMs >= LONGEST_MS || (tookMs >= AFTERWARDS_MS && isTried)
    }
    while (!isEnough() && !signal.aborted) await pause(WIDE_PAUSE_MS, signal)
  }

  /** A connection made from now on, and held open until it is known who took it. */
  async #prove(): Promise<Pick<Receipt, 'reached' | 'reachedAt'>> {
    const [address = this.#switch.listen] = addressesOf(this.#switch.listen)
    const socket = await openConnection(address, LONGEST_TRY_MS)
    if (socket === null) return { reached: null, reachedAt: null }
    const reachedAt = Number(process.hrtime.bigint()) / 1e6
    try {
      const reached = await this.#slotOf(socket)
      return { reached, reachedAt: reached === null ? null : reachedAt }
    } finally {
      socket.destroy()
    }
  }

  async #slotOf(socket: Socket): Promise<Slot | null> {
    const { signal } = this.#stopped
    for (const delayMs of LOOKS_AFTER_MS) {
      await pause(delayMs, signal)
      if (signal.aborted) return null
      const found = (await this.#connections()).find(({ peer }) => isOf(socket, peer))
      if (found !== undefined) return found.slot
    }
    return null
  }

  async #connections(): Promise<readonly Connection[]> {
    try {
      return await this.#deps.dataPlane.connections(this.#switch.app)
    } catch (error) {
      this.#deps.log.warn('connections-not-listed', { error })
      return []
    }
  }

  async #countLeft(): Promise<number | null> {
    try {
      const { routes } = await this.#deps.dataPlane.observe()
      return routes.find(({ app }) => app === this.#switch.app)?.connections[this.#switch.from] ?? null
    } catch (error) {
      this.#deps.log.warn('connections-not-counted', { error })
      return null
    }
  }
}

/** An IPv6 socket tells of an IPv4 peer as `::ffff:127.0.0.1`. */
function isOf({ localAddress, localPort }: Socket, peer: Connection['peer']): boolean {
  return peer.port === localPort && peer.host.replace(/^::ffff:/, '') === localAddress
}
