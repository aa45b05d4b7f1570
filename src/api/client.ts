import { connect, type Socket } from 'node:net'
import { DorcError, ERROR_CODES, type ErrorCode, hasCode } from '../core/errors.ts'
import type { Slot } from '../core/app.ts'
import { parseJson, readDocuments, readResponse, readText } from './http-response.ts'
import type {
  Accepted,
  AppStatus,
  CheckReport,
  CloseCommand,
  CloseLine,
  ConnectionSummary,
  DeployCommand,
  ErrorBody,
  JournalEvent,
  LogEntry,
  ProgressLine,
  RegisterRequest,
  ReleaseCheck,
  ReleaseSummary,
  RemoveCommand,
  RollbackCommand,
  RunCommand,
  StatusReport,
  SwitchCommand,
  Version,
  WhyReport,
} from './protocol.ts'

/** The generation that the caller saw; null: whatever it is. */
export type Seen = Pick<AppStatus, 'generation'> | null

export interface StreamQuery {
  readonly lines: number
  readonly follow: boolean
}

/** What to type when the daemon cannot be reached. */
export interface ReachHints {
  readonly whenAbsent: string
  readonly whenDenied: string
}

interface Call {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly body?: unknown
  readonly seen?: Seen
}

/**
 * The daemon, over its unix socket; one connection for each call. Failures are DorcErrors with the daemon's own
 * codes, and NO_DAEMON when none answers there. An aborted stream ends without an error.
 */
export class DaemonClient {
  readonly #socketPath: string
  readonly #hints: ReachHints

  constructor(socketPath: string, hints: ReachHints) {
    this.#socketPath = socketPath
    this.#hints = hints
  }

  version = (): Promise<Version> => this.#document({ method: 'GET', path: '/v1/version' })

  status = (): Promise<StatusReport> => this.#document({ method: 'GET', path: '/v1/apps' })

  app = (name: string): Promise<AppStatus> => this.#document({ method: 'GET', path: appPath(name) })

  async releases(name: string): Promise<readonly ReleaseSummary[]> {
    const answer = await this.#document<{ releases: readonly ReleaseSummary[] }>({
      method: 'GET',
      path: appPath(name, 'releases'),
    })
    return answer.releases
  }

  async verify(name: string, release: number | null): Promise<readonly ReleaseCheck[]> {
    const path = `${appPath(name, 'verify')}${release === null ? '' : `?release=${release}`}`
    const answer = await this.#document<{ releases: readonly ReleaseCheck[] }>({ method: 'GET', path })
    return answer.releases
  }

  check = (request: RegisterRequest): Promise<CheckReport> =>
    this.#document({ method: 'POST', path: '/v1/check', body: request })

  register = (request: RegisterRequest): Promise<Accepted> =>
    this.#document({ method: 'POST', path: '/v1/apps', body: request })

  run = (name: string, command: RunCommand, seen: Seen): Promise<Accepted> =>
    this.#document({ method: 'POST', path: appPath(name, 'run'), body: command, seen })

  load = (name: string, seen: Seen): Promise<Accepted> =>
    this.#document({ method: 'POST', path: appPath(name, 'load'), body: {}, seen })

  remove = (name: string, command: RemoveCommand, seen: Seen): Promise<Accepted> =>
    this.#document({ method: 'DELETE', path: appPath(name), body: command, seen })

  deploy(
    name: string,
    command: DeployCommand,
    seen: Seen,
    signal: AbortSignal,
  ): AsyncGenerator<ProgressLine> {
    return this.#stream({ method: 'POST', path: appPath(name, 'deploys'), body: command, seen }, signal)
  }

  switch(
    name: string,
    command: SwitchCommand,
    seen: Seen,
    signal: AbortSignal,
  ): AsyncGenerator<ProgressLine> {
    return this.#stream({ method: 'POST', path: appPath(name, 'switch'), body: command, seen }, signal)
  }

  rollback(
    name: string,
    command: RollbackCommand,
    seen: Seen,
    signal: AbortSignal,
  ): AsyncGenerator<ProgressLine> {
    return this.#stream({ method: 'POST', path: appPath(name, 'rollback'), body: command, seen }, signal)
  }

  why(name: string, slot: Slot | null): Promise<WhyReport> {
    const search = slot === null ? '' : `?slot=${slot}`
    return this.#document({ method: 'GET', path: `${appPath(name, 'why')}${search}` })
  }

  async connections(name: string, slot: Slot | null): Promise<readonly ConnectionSummary[]> {
    const path = `${appPath(name, 'connections')}${slot === null ? '' : `?slot=${slot}`}`
    const answer = await this.#document<{ connections: readonly ConnectionSummary[] }>({
      method: 'GET',
      path,
    })
    return answer.connections
  }

  close(name: string, command: CloseCommand, seen: Seen, signal: AbortSignal): AsyncGenerator<CloseLine> {
    return this.#stream({ method: 'POST', path: appPath(name, 'close'), body: command, seen }, signal)
  }

  logs(name: string, slot: Slot | null, query: StreamQuery, signal: AbortSignal): AsyncGenerator<LogEntry> {
    const search = searchOf(query, slot === null ? {} : { slot })
    return this.#stream({ method: 'GET', path: `${appPath(name, 'logs')}?${search}` }, signal)
  }

  events(app: string | null, query: StreamQuery, signal: AbortSignal): AsyncGenerator<JournalEvent> {
    const search = searchOf(query, app === null ? {} : { app })
    return this.#stream({ method: 'GET', path: `/v1/events?${search}` }, signal)
  }

  async #document<T>(call: Call): Promise<T> {
    using socket = await this.#send(call)
    const { status, body } = await readResponse(received(socket))
    const document = parseJson(await readText(body))
    if (status !== 200) throw errorOf(document, status)
    // The daemon is of the same version as its client; checking its answers would load zod into every command.
    return document as T
  }

  async *#stream<T>(call: Call, signal: AbortSignal): AsyncGenerator<T> {
    try {
      using socket = await this.#send(call)
      const hangUp = (): void => void socket.destroy()
      signal.addEventListener('abort', hangUp, { once: true })
      if (signal.aborted) hangUp()
      const { status, body } = await readResponse(received(socket))
      if (status !== 200) throw errorOf(parseJson(await readText(body)), status)
      for await (const document of readDocuments(body)) {
        if (isFailure(document)) throw dorcErrorFrom(document.error)
        yield document as T
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  async #send(call: Call): Promise<Socket & Disposable> {
    const socket = await this.#connect()
    const body = call.body === undefined ? '' : JSON.stringify(call.body)
    const ifMatch = call.seen === undefined || call.seen === null ? '*' : `"${call.seen.generation}"`
    const head = [
      `${call.method} ${call.path} HTTP/1.1`,
      'Host: dorc',
      'Connection: close',
      ...(call.method === 'GET' ? [] : [`If-Match: ${ifMatch}`]),
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(body)}`,
    ]
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
    return Object.assign(socket, { [Symbol.dispose]: () => void socket.destroy() })
  }

  #connect(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.#socketPath)
      socket.once('connect', () => resolve(socket))
      socket.once('error', (error) => reject(this.#unreachable(error)))
    })
  }

  #unreachable(error: Error): DorcError {
    if (hasCode(error, 'EACCES')) {
      return new DorcError('NO_DAEMON', `Cannot open the control socket "${this.#socketPath}"`, {
        cause: 'permission denied',
        hint: this.#hints.whenDenied,
      })
    }
    const isAbsent = hasCode(error, 'ENOENT') || hasCode(error, 'ECONNREFUSED')
    return new DorcError('NO_DAEMON', `No daemon answers on "${this.#socketPath}"`, {
      ...(isAbsent ? {} : { cause: error }),
      hint: this.#hints.whenAbsent,
    })
  }
}

/** A daemon that dies ends its answer; how the kernel calls that does not matter. */
async function* received(socket: Socket): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of socket) yield chunk as Buffer
  } catch (error) {
    if (!hasCode(error, 'ECONNRESET') && !hasCode(error, 'EPIPE')) throw error
  }
}

/** `.` and `..` mean something else in a path, however they are written (url.spec.whatwg.org, double-dot segments). */
function appPath(name: string, ...rest: string[]): string {
  if (name === '' || name === '.' || name === '..')
    throw new DorcError('APP_UNKNOWN', `There is no app "${name}"`, {
      hint: 'See which there are: dorc status',
    })
  return ['/v1/apps', encodeURIComponent(name), ...rest].join('/')
}

function searchOf({ lines, follow }: StreamQuery, more: Record<string, string>): string {
  return new URLSearchParams({ lines: String(lines), follow: String(follow), ...more }).toString()
}

/** What failed after the answer had begun stands in a line of its own. */
function isFailure(document: unknown): document is ErrorBody {
  return typeof document === 'object' && document !== null && Object.keys(document).join() === 'error'
}

function errorOf(document: unknown, status: number): DorcError {
  const { error } = (document ?? {}) as Partial<ErrorBody>
  if (error === undefined) return new DorcError('DAEMON_FAILED', `The daemon answered with status ${status}`)
  return dorcErrorFrom(error)
}

/** An error as it crossed the socket; a code that this version does not know is DAEMON_FAILED. */
export function dorcErrorFrom({ code, message, hint }: ErrorBody['error']): DorcError {
  const known: ErrorCode = ERROR_CODES.includes(code) ? code : 'DAEMON_FAILED'
  return new DorcError(known, message, hint === null ? {} : { hint })
}
