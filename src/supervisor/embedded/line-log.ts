import { closeSync, fstatSync, ftruncateSync, openSync, readSync, renameSync, writeSync } from 'node:fs'
import { hasCode } from '../../core/errors.ts'

/** As journald's LineMax: a longer line is kept in pieces. */
const MAX_LINE_BYTES = 48 * 1024
const NEWLINE = 0x0a

export interface LineLogOptions {
  readonly path: string
  readonly fileBytes: number
  readonly files: number
  /** ISO time for the lines that arrive now. */
  readonly wall: () => string
}

/**
 * A log of one slot: each line as `TIME text`, in `path` and, older, `path.1`, `path.2`, …, so that it never takes more
 * than `files * fileBytes` and one line. Writing never throws: an app must not die of a full disk under its log.
 */
export class LineLog {
  readonly #options: LineLogOptions
  #fd: number
  #bytes: number
  #lost = 0

  constructor(options: LineLogOptions) {
    this.#options = options
    this.#fd = openSync(options.path, 'a+', 0o640)
    this.#bytes = fstatSync(this.#fd).size
    if (this.#bytes > 0 && !this.#endsWithNewline()) this.#append(Buffer.from('\n'))
  }

  /** Turns a stream of bytes into lines; `end` writes what came without a newline. */
  splitter(): { write: (chunk: Buffer) => void; end: () => void } {
    let rest: Buffer = Buffer.alloc(0)
    return {
      write: (chunk) => {
        rest = this.#writeLines(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]))
      },
      end: () => {
        if (rest.length > 0) this.#line(rest)
        rest = Buffer.alloc(0)
      },
    }
  }

  close(): void {
    closeSync(this.#fd)
  }

  #writeLines(bytes: Buffer): Buffer {
    let start = 0
    for (;;) {
      const newline = bytes.indexOf(NEWLINE, start)
      const end = newline === -1 ? bytes.length : newline
      while (end - start >= MAX_LINE_BYTES) {
        this.#line(bytes.subarray(start, start + MAX_LINE_BYTES))
        start += MAX_LINE_BYTES
      }
      // A copy: the rest must not keep the whole chunk in memory.
      if (newline === -1) return Buffer.from(bytes.subarray(start))
      this.#line(bytes.subarray(start, newline))
      start = newline + 1
    }
  }

  #line(text: Buffer): void {
    const time = this.#options.wall()
    if (this.#lost > 0) {
      const notice = Buffer.from(`${time} [dorc: ${this.#lost} lines could not be written here]\n`)
      if (this.#append(notice)) this.#lost = 0
    }
    if (!this.#append(Buffer.concat([Buffer.from(`${time} `), text, Buffer.from('\n')]))) this.#lost += 1
  }

  #append(bytes: Buffer): boolean {
    try {
      if (this.#bytes > 0 && this.#bytes + bytes.length > this.#options.fileBytes) this.#rotate()
      const written = writeSync(this.#fd, bytes)
      // A disk that fills up takes a part and reports no error: half a line would swallow the next one.
      if (written < bytes.length) ftruncateSync(this.#fd, this.#bytes)
      else this.#bytes += written
      return written === bytes.length
    } catch (error) {
      if (['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'EMFILE', 'ENFILE'].some((code) => hasCode(error, code)))
        return false
      throw error
    }
  }

  #rotate(): void {
    const { path, files } = this.#options
    // First what may fail: on a full disk nothing is put aside until there is a file to go on in.
    const fresh = openSync(`${path}.new`, 'a+', 0o640)
    for (let age = files - 1; age >= 1; age -= 1)
      renameIfThere(age === 1 ? path : `${path}.${age - 1}`, `${path}.${age}`)
    renameSync(`${path}.new`, path)
    closeSync(this.#fd)
    this.#fd = fresh
    this.#bytes = 0
  }

  #endsWithNewline(): boolean {
    const last = Buffer.alloc(1)
    readSync(this.#fd, last, 0, 1, this.#bytes - 1)
    return last[0] === NEWLINE
  }
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
}
