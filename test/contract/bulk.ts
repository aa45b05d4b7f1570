import { createHash, type Hash } from 'node:crypto'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

/** Long streams whose every byte counts. */

const CHUNK_BYTES = 256 * 1024
const PAUSE_EACH_BYTES = 4 * 1024 * 1024

/** `bytes` bytes that never repeat within a buffer of any size, and then the end of the stream. */
export function sendPattern(socket: Socket, bytes: number): void {
  Readable.from(pattern(bytes)).pipe(socket)
}

export async function patternHash(bytes: number): Promise<string> {
  const hash = createHash('sha256')
  for (const chunk of pattern(bytes)) hash.update(chunk)
  return hash.digest('hex')
}

/** Reads with pauses, so that every buffer on the way fills up. Resolves at the end of the stream. */
export async function readSlowly(socket: Socket, hash: Hash): Promise<number> {
  let length = 0
  let nextPause = PAUSE_EACH_BYTES
  // The other way may still be busy when this one ends.
  const chunks = socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
  for await (const chunk of chunks) {
    hash.update(chunk)
    length += chunk.length
    if (length < nextPause) continue
    nextPause += PAUSE_EACH_BYTES
    await sleep(10)
  }
  return length
}

function* pattern(bytes: number): Generator<Buffer> {
  for (let at = 0; at < bytes; at += CHUNK_BYTES) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, bytes - at))
    for (let index = 0; index + 4 <= chunk.length; index += 4) chunk.writeUInt32LE((at + index) >>> 0, index)
    yield chunk
  }
}
