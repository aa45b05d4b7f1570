import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { chmod, chown, mkdir, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { describeError, DorcError, hasCode } from '../core/errors.ts'
import type { Logger } from '../platform/log.ts'
import type { Actions, Peer } from './actions.ts'
import type { ErrorBody } from './protocol.ts'
import { type Answer, findRoute, httpStatus } from './routes.ts'

const BODY_LIMIT_BYTES = 1024 * 1024
const CONNECTION_LIMIT = 1_024
const HEADERS_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 30_000
/** Node looks for requests that have timed out only this often (30 s unless told): until then they take a connection each. */
const TIMEOUT_CHECK_MS = 1_000
/** The longest path that fits into sockaddr_un (unix(7)). */
const SOCKET_PATH_LIMIT_BYTES = 107

export interface ApiOptions {
  readonly socketPath: string
  /** Group of the socket; null: that of the daemon. */
  readonly groupId: number | null
  readonly actions: Actions
  readonly peerOf: (request: IncomingMessage) => Peer
  /** May this peer define what runs? */
  readonly isRoot: (peer: Peer) => boolean
  readonly log: Logger
}

/** Serves the API on a unix socket until it is closed. Throws PATH_INVALID if the path is too long for a socket. */
export async function serveApi(options: ApiOptions): Promise<AsyncDisposable> {
  const { socketPath, groupId, log } = options
  if (Buffer.byteLength(socketPath) > SOCKET_PATH_LIMIT_BYTES) {
    throw new DorcError('PATH_INVALID', `The path of the control socket is too long: "${socketPath}"`, {
      hint: 'Choose a shorter --root',
    })
  }
  await mkdir(dirname(socketPath), { recursive: true })
  await rm(socketPath, { force: true })
  const limits = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: TIMEOUT_CHECK_MS,
  }
  const server = createServer(limits, (request, response) => {
    respond(options, request, response).catch((error: unknown) => {
      log.error('request-failed', { error, url: request.url })
      response.destroy()
    })
  })
  server.maxConnections = CONNECTION_LIMIT
  server.on('clientError', (_error, socket) => {
    if (socket.writable)
      socket.write('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
      // Only ended, it would stay for as long as the client keeps its side open.
    ;(socket as Socket).destroySoon()
  })
  const previousMask = process.umask(0o117)
  try {
    await listen(server, socketPath)
  } finally {
    process.umask(previousMask)
  }
  if (groupId !== null) await chown(socketPath, process.getuid?.() ?? 0, groupId)
  await chmod(socketPath, 0o660)
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

async function respond(
  options: ApiOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  try {
    const answer = await answerTo(options, request, gone.signal)
    if (answer.kind === 'stream') await sendStream(response, answer.lines, gone.signal)
    else sendJson(response, 200, await answer.document)
  } catch (error) {
    if (gone.signal.aborted) return
    if (!(error instanceof DorcError)) options.log.error('request-failed', { error, url: request.url })
    // Too late for a status: the last line of the stream tells it.
    if (response.headersSent) response.end(`${JSON.stringify(errorBody(error))}\n`)
    else sendJson(response, httpStatus(codeOf(error)), errorBody(error))
  }
}

async function answerTo(options: ApiOptions, request: IncomingMessage, signal: AbortSignal): Promise<Answer> {
  const url = URL.parse(request.url ?? '/', 'http://dorc')
  if (url === null) throw new DorcError('REQUEST_INVALID', 'The request names no path')
  const { route, app } = findRoute(request.method ?? '', url.pathname)
  const peer = options.peerOf(request)
  if (route.role === 'root' && !options.isRoot(peer)) {
    throw new DorcError('FORBIDDEN', `User ${peer.uid} may not define what runs on this host`, {
      hint: 'Run the command as root',
    })
  }
  const body = request.method === 'GET' ? null : await readJson(request)
  const ifMatch = route.method === 'GET' ? null : parseIfMatch(request.headers['if-match'], route.path)
  return route.answer(options.actions, {
    app,
    query: url.searchParams,
    body,
    caller: { peer, ifMatch, signal },
  })
}

/** Changes of an app name the generation that the caller saw: nobody overwrites what he has not seen. */
function parseIfMatch(header: string | undefined, path: string): number | null {
  if (!path.includes('APP') || header === '*') return null
  const generation = /^"(\d{1,15})"$/.exec(header ?? '')?.[1]
  if (generation !== undefined) return Number(generation)
  throw new DorcError('REQUEST_INVALID', 'A change needs the header If-Match: "GENERATION", or If-Match: *')
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk as Uint8Array)
    size += bytes.length
    if (size > BODY_LIMIT_BYTES) throw new DorcError('REQUEST_INVALID', 'The request is larger than 1 MiB')
    chunks.push(bytes)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}')
  } catch (error) {
    throw new DorcError('REQUEST_INVALID', 'The request is not JSON', { cause: error })
  }
}

function sendJson(response: ServerResponse, status: number, document: unknown): void {
  const text = `${JSON.stringify(document)}\n`
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  })
  response.end(text)
}

async function sendStream(
  response: ServerResponse,
  lines: AsyncIterable<unknown>,
  signal: AbortSignal,
): Promise<void> {
  for await (const line of lines) {
    if (signal.aborted) return
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    const isFlushed = response.write(`${JSON.stringify(line)}\n`)
    if (!isFlushed) await drained(response, signal)
  }
  if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.end()
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    response.once('drain', resolve)
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function codeOf(error: unknown): DorcError['code'] {
  if (error instanceof DorcError) return error.code
  return hasCode(error, 'ENOSPC') ? 'DISK_FULL' : 'DAEMON_FAILED'
}

/** What of an error crosses the socket. */
export function errorBody(error: unknown): ErrorBody {
  const hint = error instanceof DorcError ? error.hint : 'See the log of the daemon: journalctl -u dorcd'
  return { error: { code: codeOf(error), message: describeError(error), hint } }
}
