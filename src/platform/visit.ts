import { connect, type Socket } from 'node:net'
import type { ListenAddress } from '../core/definition.ts'
import { hasCode } from '../core/errors.ts'
import type { Visit } from '../core/receipt.ts'

/** What a visitor of an app that speaks HTTP asks for. */
export interface VisitRequest {
  readonly path: string
  /** Of the Host header; null: the address that is visited. */
  readonly host: string | null
}

export interface VisitOptions {
  /** null: only connect. */
  readonly request: VisitRequest | null
  readonly timeoutMs: number
  /** Calls it off: the visit is `untried` then. */
  readonly signal: AbortSignal
}

/** An answer that has begun is one; for its end nobody waits longer than this. */
const REST_OF_ANSWER_MS = 1_000

/** Errnos of our own side: they tell nothing about who was to be visited. */
const OUR_TROUBLE = ['EADDRNOTAVAIL', 'EMFILE', 'ENFILE', 'ENETUNREACH', 'EAFNOSUPPORT']

/** Where a client on this host reaches a listen address: a wildcard over loopback, `::` in both families. */
export function addressesOf({ host, port }: ListenAddress): ListenAddress[] {
  if (host === '0.0.0.0') return [{ host: '127.0.0.1', port }]
  if (host === '::') return ['127.0.0.1', '::1'].map((loopback) => ({ host: loopback, port }))
  return [{ host, port }]
}

/** As any client would: a new connection and, if there is a `request`, one GET on it. Never throws. */
export function visit(address: ListenAddress, options: VisitOptions): Promise<Visit> {
  const { request, timeoutMs, signal } = options
  const startedAt = performance.now()
  return new Promise((resolve) => {
    const socket = connect(address)
    let answeredAfterMs: number | null = null
    const finish = (outcome: Visit['outcome'], detail: string): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', callOff)
      socket.destroy()
      resolve({ outcome, detail, tookMs: answeredAfterMs ?? performance.now() - startedAt })
    }
    const callOff = (): void => finish(answeredAfterMs === null ? 'untried' : 'answered', 'called off')
    let timer = setTimeout(() => finish('failed', `no answer in ${timeoutMs} ms`), timeoutMs)
    signal.addEventListener('abort', callOff, { once: true })
    if (signal.aborted) return callOff()
    socket.once('connect', () => {
      if (request === null) return finish('answered', '')
      socket.write(requestText(address, request, 'close'))
    })
    socket.on('data', () => {
      if (answeredAfterMs !== null) return
      answeredAfterMs = performance.now() - startedAt
      clearTimeout(timer)
      timer = setTimeout(() => finish('answered', ''), REST_OF_ANSWER_MS)
    })
    socket.once('end', () =>
      answeredAfterMs === null
        ? finish('failed', 'connection closed without an answer')
        : finish('answered', ''),
    )
    // Stays for the whole life of the socket: it may report one more error after its end.
    socket.on('error', (error) => {
      if (OUR_TROUBLE.some((code) => hasCode(error, code))) return finish('untried', error.message)
      finish('failed', failureText(error))
    })
  })
}

/** A GET as a line and headers, for whoever writes it to a socket of his own. */
export function requestText(
  address: ListenAddress,
  { path, host }: VisitRequest,
  connection: 'close' | 'keep-alive',
): string {
  const { host: name, port } = address
  const authority = host ?? `${name.includes(':') ? `[${name}]` : name}:${port}`
  return `GET ${path} HTTP/1.1\r\nHost: ${authority}\r\nUser-Agent: dorc\r\nConnection: ${connection}\r\n\r\n`
}

function failureText(error: Error): string {
  if (hasCode(error, 'ECONNREFUSED')) return 'connection refused'
  return hasCode(error, 'ECONNRESET') ? 'connection reset' : error.message
}

/** A connection that stands and is left to its owner; null if there is none within `timeoutMs`. */
export function openConnection(address: ListenAddress, timeoutMs: number): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect(address)
    const giveUp = (): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(null)
    }
    const timer = setTimeout(giveUp, timeoutMs)
    // Stays for its whole life: whoever holds it finds out by its end.
    socket.on('error', giveUp)
    socket.once('connect', () => {
      clearTimeout(timer)
      resolve(socket)
    })
  })
}
