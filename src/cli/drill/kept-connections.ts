import type { Socket } from 'node:net'
import type { ListenAddress } from '../../core/definition.ts'
import { pause } from '../../platform/pause.ts'
import { openConnection, requestText, visit, type VisitRequest } from '../../platform/visit.ts'

const OPEN_WITHIN_MS = 5_000
/** An app that keeps no connections, or no idle ones, has ended them by then. */
const SETTLE_MS = 300
const ASK_EVERY_MS = 500
const ANSWER_WITHIN_MS = 5_000

/** Connections that are to outlive every switch. Those of HTTP ask for something now and then; others are silent. */
export class KeptConnections {
  readonly #kept: readonly Kept[]
  readonly #end = new AbortController()
  readonly #asking: Promise<unknown>

  private constructor(kept: readonly Kept[]) {
    this.#kept = kept
    this.#asking = Promise.all(kept.map((one) => one.askUntil(this.#end.signal)))
  }

  /** As many of `count` as the app is willing to keep: none, if it answers nobody else meanwhile. */
  static async open(
    address: ListenAddress,
    request: VisitRequest | null,
    count: number,
  ): Promise<KeptConnections> {
    const question = request === null ? null : requestText(address, request, 'keep-alive')
    const opened = await Promise.all(
      Array.from({ length: count }, () => openConnection(address, OPEN_WITHIN_MS)),
    )
    const all = opened.flatMap((socket) => (socket === null ? [] : [new Kept(socket, question)]))
    await Promise.all(all.map((one) => one.isAlive()))
    await pause(SETTLE_MS, new AbortController().signal)
    const signal = new AbortController().signal
    const { outcome } = await visit(address, { request, timeoutMs: ANSWER_WITHIN_MS, signal })
    const kept = all.filter((one) => outcome !== 'failed' && !one.hasEnded)
    for (const one of all) if (!kept.includes(one)) one.close()
    return new KeptConnections(kept)
  }

  get opened(): number {
    return this.#kept.length
  }

  /** Ends them, and says how many still lived. */
  async close(): Promise<number> {
    this.#end.abort()
    await this.#asking
    const alive = await Promise.all(this.#kept.map((one) => one.isAlive()))
    for (const one of this.#kept) one.close()
    return alive.filter(Boolean).length
  }
}

class Kept {
  readonly #socket: Socket
  /** null: it is left silent. */
  readonly #question: string | null
  #hasEnded = false
  #onNews: () => void = () => undefined

  constructor(socket: Socket, question: string | null) {
    this.#socket = socket
    this.#question = question
    const end = (): void => {
      this.#hasEnded = true
      this.#onNews()
    }
    socket.once('end', end).once('close', end)
    socket.on('data', () => this.#onNews())
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  async askUntil(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.#hasEnded) {
      await this.isAlive()
      await pause(ASK_EVERY_MS, signal)
    }
  }

  /** It has not ended and, if it may be asked, answers. One call at a time. */
  async isAlive(): Promise<boolean> {
    if (this.#hasEnded || this.#question === null) return !this.#hasEnded
    const answered = new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), ANSWER_WITHIN_MS)
      this.#onNews = () => {
        clearTimeout(timer)
        resolve(!this.#hasEnded)
      }
    })
    this.#socket.write(this.#question)
    return await answered
  }

  close(): void {
    this.#socket.destroy()
  }
}
