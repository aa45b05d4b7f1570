import { createHash } from 'node:crypto'
import { readSync, writeSync } from 'node:fs'
import { reflink, startWriting } from './file-calls.ts'

export interface Copied {
  readonly bytes: number
  /** In hex. */
  readonly sha256: string
}

/** Large enough to make the calls cheap, small enough to stay in the processor's cache between reading and hashing. */
const buffer = Buffer.allocUnsafe(256 * 1024)

export interface ReadLimits {
  /** Reading ends a little beyond it: a file that somebody appends to must not keep us forever. */
  readonly expectedSize: number
  /** Called after each chunk. */
  onBytes(bytes: number): void
}

/**
 * Copies the whole content and hashes it on the way. Where the file system has reflinks the copy shares its blocks, and
 * the source is what is hashed: it is in the page cache more likely than not, a fresh clone never is. A source that was
 * written to between clone and hash must be found by its times; what slips through fails every later verification.
 */
export function copyAndHash(fromFd: number, toFd: number, limits: ReadLimits): Copied {
  const isCloned = reflink(fromFd, toFd)
  const copied = eachChunk(fromFd, limits, (chunk) => {
    if (!isCloned) writeAll(toFd, chunk)
  })
  if (!isCloned && copied.bytes > 0) startWriting(toFd)
  return copied
}

export function hashFile(fd: number, limits: ReadLimits): Copied {
  return eachChunk(fd, limits, () => undefined)
}

function eachChunk(fd: number, limits: ReadLimits, use: (chunk: Buffer) => void): Copied {
  const hash = createHash('sha256')
  let bytes = 0
  while (bytes <= limits.expectedSize) {
    const length = readSync(fd, buffer, 0, buffer.length, bytes)
    if (length === 0) break
    const chunk = buffer.subarray(0, length)
    use(chunk)
    hash.update(chunk)
    bytes += length
    limits.onBytes(length)
  }
  return { bytes, sha256: hash.digest('hex') }
}

function writeAll(fd: number, chunk: Buffer): void {
  let written = 0
  while (written < chunk.length) written += writeSync(fd, chunk, written)
}
