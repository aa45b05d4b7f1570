import { DorcError } from '../core/errors.ts'

/**
 * The reading half of HTTP/1.1, as far as the daemon speaks it: `node:http` does it too, and costs every
 * command of the CLI 23 ms at its start.
 */

export interface HttpResponse {
  readonly status: number
  readonly body: AsyncIterable<Buffer>
}

/** Reads the head at once and the body as it is asked for. Throws DAEMON_FAILED on an answer cut short or malformed. */
export async function readResponse(source: AsyncIterable<Buffer>): Promise<HttpResponse> {
  const bytes = new ByteReader(source)
  const [statusLine = '', ...headerLines] = await readHeadLines(bytes)
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1])
  if (Number.isNaN(status)) throw malformed()
  return { status, body: readBody(bytes, parseHeaders(headerLines)) }
}

/** The whole body as text. */
export async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

/** One document for each line of an application/x-ndjson body. */
export async function* readDocuments(body: AsyncIterable<Buffer>): AsyncGenerator<unknown> {
  const bytes = new ByteReader(body)
  for (;;) {
    const line = await bytes.line('\n')
    if (line === null) return
    if (line !== '') yield parseJson(line)
  }
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw malformed(error)
  }
}

async function readHeadLines(bytes: ByteReader): Promise<string[]> {
  const lines: string[] = []
  for (;;) {
    const line = await bytes.line('\r\n')
    if (line === null) throw cutShort()
    if (line === '') return lines
    lines.push(line)
  }
}

function parseHeaders(lines: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
  }
  return headers
}

async function* readBody(bytes: ByteReader, headers: Map<string, string>): AsyncGenerator<Buffer> {
  if (headers.get('transfer-encoding')?.toLowerCase() === 'chunked') {
    yield* readChunked(bytes)
    return
  }
  const length = headers.get('content-length')
  if (length !== undefined) {
    yield* bytes.take(Number(length))
    return
  }
  yield* bytes.rest()
}

async function* readChunked(bytes: ByteReader): AsyncGenerator<Buffer> {
  for (;;) {
    const sizeLine = await bytes.line('\r\n')
    if (sizeLine === null) throw cutShort()
    const size = Number.parseInt(sizeLine, 16)
    if (Number.isNaN(size)) throw malformed()
    if (size === 0) return
    yield* bytes.take(size)
    await bytes.line('\r\n')
  }
}

/** Takes lines and counted bytes from a source that delivers them cut anywhere. */
class ByteReader {
  readonly #source: AsyncIterator<Buffer>
  #pending: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** Without its end; what the source ends with counts as a line. null: nothing is left. */
  async line(end: '\n' | '\r\n'): Promise<string | null> {
    let searchedTo = 0
    for (;;) {
      const at = this.#pending.indexOf(end, searchedTo)
      if (at >= 0) return this.#cut(at, end.length).toString('utf8')
      searchedTo = Math.max(0, this.#pending.length - 1)
      if (!(await this.#fill())) break
    }
    return this.#pending.length === 0 ? null : this.#cut(this.#pending.length, 0).toString('utf8')
  }

  /** Exactly `count` bytes, in pieces. */
  async *take(count: number): AsyncGenerator<Buffer> {
    let left = count
    while (left > 0) {
      if (this.#pending.length === 0 && !(await this.#fill())) throw cutShort()
      const piece = this.#cut(Math.min(left, this.#pending.length), 0)
      left -= piece.length
      yield piece
    }
  }

  async *rest(): AsyncGenerator<Buffer> {
    do {
      if (this.#pending.length > 0) yield this.#cut(this.#pending.length, 0)
    } while (await this.#fill())
  }

  #cut(length: number, skip: number): Buffer {
    const piece = this.#pending.subarray(0, length)
    this.#pending = this.#pending.subarray(length + skip)
    return piece
  }

  async #fill(): Promise<boolean> {
    const next = await this.#source.next()
    if (next.done === true) return false
    this.#pending = this.#pending.length === 0 ? next.value : Buffer.concat([this.#pending, next.value])
    return true
  }
}

function cutShort(): DorcError {
  return new DorcError('DAEMON_FAILED', 'The daemon ended the connection before its answer was complete', {
    hint: 'See its log: journalctl -u dorcd',
  })
}

function malformed(cause?: unknown): DorcError {
  return new DorcError('DAEMON_FAILED', 'The answer of the daemon cannot be understood', {
    cause,
    hint: 'Use a dorc of the same version as the daemon: dorc --version',
  })
}
