import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { receiveWithFds, sendWithFds } from '../../platform/fd-passing.ts'
import { check } from '../../platform/libc.ts'
import {
  type ConnectionPage,
  type ControlRequest,
  type Hello,
  IDS_PER_MESSAGE,
  LISTENERS_PER_MESSAGE,
  type RelayedConnection,
  type Report,
} from './control-protocol.ts'
import { isRecord } from './routes-file.ts'
import { addressOf, encodeUnixAddress } from './socket-address.ts'
import { AF_UNIX, close, connect, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socket } from './system-calls.ts'

const ANSWER_TIMEOUT_MS = 5000

/** A listening socket on its way to a relay, or back. The holder of this closes the fd. */
export interface NamedListener {
  readonly app: string
  readonly fd: number
}

/** A connection to one relay process. Requests are sent one after the other; an error ends the connection. */
export class RelayLink {
  readonly #fd: number
  readonly #socket: Socket
  #received = ''
  /** Settles the request that is under way. */
  #settle: ((answer: unknown) => void) | null = null
  #last: Promise<unknown> = Promise.resolve()
  #onArrival: (app: string) => void = () => undefined

  /** Throws SystemCallError (ENOENT, ECONNREFUSED) if nobody serves the path. */
  constructor(controlPath: string, onClose: () => void) {
    this.#fd = connectTo(controlPath)
    this.#socket = new Socket({ fd: this.#fd, readable: true, writable: true })
    this.#socket.on('error', () => this.#socket.destroy())
    this.#socket.on('close', () => {
      this.#settle?.(new Error('The relay closed its control connection'))
      onClose()
    })
    this.#socket.setEncoding('utf8')
    this.#socket.on('data', (text: string) => this.#receive(text))
    this.#socket.unref()
  }

  get isClosed(): boolean {
    return this.#socket.destroyed
  }

  async hello(): Promise<Hello> {
    return (await this.#request({ do: 'hello' })) as Hello
  }

  async report(): Promise<Report> {
    return (await this.#request({ do: 'report' })) as Report
  }

  /** Makes the relay read the routes file, after giving it copies of these sockets. */
  async apply(listeners: readonly NamedListener[]): Promise<void> {
    for (let at = 0; at === 0 || at < listeners.length; at += LISTENERS_PER_MESSAGE) {
      const part = listeners.slice(at, at + LISTENERS_PER_MESSAGE)
      const names = part.map(({ app }) => app)
      await this.#request(
        { do: 'apply', listeners: names },
        part.map(({ fd }) => fd),
      )
    }
  }

  async retire(): Promise<void> {
    await this.#request({ do: 'retire' })
  }

  close(): void {
    this.#socket.destroy()
  }

  /** Every connection of the app with a slot, over as many pages as it takes. */
  async connections(app: string): Promise<RelayedConnection[]> {
    const found: RelayedConnection[] = []
    for (let after: number | null = -1; after !== null; ) {
      const page = (await this.#request({ do: 'connections', app, after })) as ConnectionPage
      found.push(...page.connections)
      after = page.next
    }
    return found
  }

  /** How many of them were alive. */
  async closeConnections(app: string, ids: readonly string[]): Promise<number> {
    let closed = 0
    for (let at = 0; at < ids.length; at += IDS_PER_MESSAGE) {
      const part = ids.slice(at, at + IDS_PER_MESSAGE)
      closed += ((await this.#request({ do: 'close', app, ids: part })) as { closed: number }).closed
    }
    return closed
  }

  /** Has `onArrival` called with apps whose connections the relay accepts, for as long as this is open. */
  async watch(onArrival: (app: string) => void): Promise<void> {
    this.#onArrival = onArrival
    await this.#request({ do: 'watch' })
  }

  #receive(text: string): void {
    const lines = (this.#received + text).split('\n')
    this.#received = lines.pop() ?? ''
    for (const line of lines) {
      const answer = parseAnswer(line)
      if (answer instanceof Arrival) for (const app of answer.apps) this.#onArrival(app)
      else this.#settle?.(answer)
    }
  }

  #request(request: ControlRequest, fds: readonly number[] = []): Promise<unknown> {
    const answer = this.#last.then(() => this.#exchange(request, fds))
    this.#last = answer.catch(() => null)
    return answer
  }

  async #exchange(request: ControlRequest, fds: readonly number[]): Promise<unknown> {
    if (this.#socket.destroyed) throw new Error('The control connection to the relay is closed')
    const { promise, resolve } = Promise.withResolvers<unknown>()
    this.#settle = resolve
    const timer = setTimeout(
      () => resolve(new Error(`The relay did not answer "${request.do}" within ${ANSWER_TIMEOUT_MS} ms`)),
      ANSWER_TIMEOUT_MS,
    )
    try {
      sendWithFds(this.#fd, Buffer.from(`${JSON.stringify(request)}\n`), fds)
      const answer = await promise
      if (answer instanceof Refusal) throw answer
      if (answer instanceof Error) this.#socket.destroy(answer)
      if (answer instanceof Error) throw answer
      return answer
    } finally {
      clearTimeout(timer)
      this.#settle = null
    }
  }
}

/** Copies of the listening sockets that a relay holds; the caller closes them. Throws if it does not answer. */
export async function fetchListeners(controlPath: string): Promise<NamedListener[]> {
  const fd = connectTo(controlPath)
  const found: NamedListener[] = []
  try {
    for (let hasMore = true; hasMore; ) {
      sendWithFds(fd, Buffer.from(`${JSON.stringify({ do: 'listeners', skip: found.length })}\n`), [])
      const { answer, fds } = await receiveAnswer(fd)
      const names = isRecord(answer) && Array.isArray(answer['listeners']) ? answer['listeners'] : []
      for (const [index, app] of names.entries()) found.push({ app: String(app), fd: fds[index] ?? -1 })
      hasMore = isRecord(answer) && answer['more'] === true
    }
    return found
  } catch (error) {
    for (const listener of found) close(listener.fd)
    throw error
  } finally {
    close(fd)
  }
}

/** Polls, because Node's own sockets read without taking the fds, and lose them. A relay answers within a millisecond. */
async function receiveAnswer(fd: number): Promise<{ answer: unknown; fds: number[] }> {
  const chunk = Buffer.allocUnsafeSlow(64 * 1024)
  const received: Buffer[] = []
  const fds: number[] = []
  for (let waitedMs = 0; waitedMs < ANSWER_TIMEOUT_MS; waitedMs += 2) {
    const message = receiveWithFds(fd, chunk)
    fds.push(...message.fds)
    if (message.length === null) await sleep(2)
    else if (message.length === 0) break
    else received.push(Buffer.from(chunk.subarray(0, message.length)))
    const text = Buffer.concat(received).toString()
    if (text.endsWith('\n')) return { answer: JSON.parse(text), fds }
  }
  for (const unclaimed of fds) close(unclaimed)
  throw new Error('The relay did not hand its sockets over')
}

/** Told, not asked for. */
class Arrival {
  readonly apps: readonly string[]

  constructor(apps: readonly string[]) {
    this.apps = apps
  }
}

/** The relay understood and said no; the connection is fine. */
class Refusal extends Error {}

function parseAnswer(line: string): unknown {
  try {
    const answer: unknown = JSON.parse(line)
    if (isRecord(answer) && answer['ok'] === true) return answer
    if (isRecord(answer) && answer['event'] === 'arrival' && Array.isArray(answer['apps']))
      return new Arrival(answer['apps'].map(String))
    return new Refusal(isRecord(answer) ? String(answer['error']) : `Unknown answer ${line}`)
  } catch (error) {
    return new Error('The relay answers nonsense', { cause: error })
  }
}

function connectTo(path: string): number {
  const fd = check('socket', socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) as number)
  const address = encodeUnixAddress(path)
  try {
    check('connect', connect(fd, addressOf(address), address.length) as number)
    return fd
  } catch (error) {
    close(fd)
    throw error
  }
}
