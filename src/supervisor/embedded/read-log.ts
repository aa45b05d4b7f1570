import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode } from '../../core/errors.ts'
import type { EndedRun, LogLine, LogOptions } from '../supervisor.ts'
import type { SlotFiles } from './slot-files.ts'

const FOLLOW_PAUSE_MS = 200
const READ_BYTES = 64 * 1024
const NEWLINE = 0x0a
const STAMPED = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ?/

/** The lines that a `LineLog` wrote, over its rotated files; what is not as it writes them comes out as it stands. */
export async function* readLog(files: SlotFiles, options: LogOptions): AsyncGenerator<LogLine> {
  const { lines, follow, run = null, signal } = options
  // The present file is opened before the older ones are read: a rotation meanwhile repeats lines, and loses none.
  let fd = openIfThere(files.logPath)
  try {
    const parse = lineParser(files)
    const present = readOn(fd, Buffer.alloc(0))
    const shown = follow ? present.lines : [...present.lines, ...lastLine(present.rest)]
    const older = olderLines(files.logPath, lines - shown.length)
    const kept = (lines === 0 ? [] : [...older, ...shown].map(parse)).filter(isOf(run))
    yield* kept.slice(-lines)
    if (!follow) return
    for (let rest = present.rest; !signal.aborted; ) {
      const isComplete = fd === null || isReplaced(files.logPath, fd)
      const added = readOn(fd, rest)
      rest = added.rest
      for (const line of added.lines) yield parse(line)
      const next: number | null = isComplete ? openIfThere(files.logPath) : null
      if (next === null) await pause(signal)
      else {
        if (fd !== null) closeSync(fd)
        fd = next
      }
    }
  } finally {
    if (fd !== null) closeSync(fd)
  }
}

/** By time: one process of a slot runs at a time, and its last words are read before its end is told. */
const isOf =
  (run: EndedRun | null) =>
  ({ at }: LogLine): boolean =>
    run === null || (at >= run.from && at <= run.to)

function lineParser({ slot }: SlotFiles): (line: string) => LogLine {
  let at = new Date(0).toISOString()
  return (line) => {
    const stamp = STAMPED.exec(line)
    at = stamp?.[1] ?? at
    return { at, slot, text: stamp === null ? line : line.slice(stamp[0].length) }
  }
}

/** The newest `wanted` lines of the files that were put aside, oldest first. */
function olderLines(path: string, wanted: number): string[] {
  let found: string[] = []
  for (let age = 1; found.length < wanted; age += 1) {
    const content = contentOf(`${path}.${age}`)
    if (content === null) break
    const { lines, rest } = split(content)
    found = [...lines, ...lastLine(rest), ...found]
  }
  return wanted <= 0 ? [] : found.slice(-wanted)
}

/** What was added since the last read of this fd, in whole lines; `rest` is what has no end yet. */
function readOn(fd: number | null, rest: Buffer): { lines: string[]; rest: Buffer } {
  if (fd === null) return split(rest)
  const chunks = [rest]
  for (let length = READ_BYTES; length > 0; ) {
    const chunk = Buffer.allocUnsafe(READ_BYTES)
    length = readSync(fd, chunk, 0, READ_BYTES, null)
    chunks.push(chunk.subarray(0, length))
  }
  return split(Buffer.concat(chunks))
}

function split(bytes: Buffer): { lines: string[]; rest: Buffer } {
  const lines: string[] = []
  let start = 0
  for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
    // Bytes that are no UTF-8 become U+FFFD.
    lines.push(bytes.toString('utf8', start, end))
    start = end + 1
  }
  return { lines, rest: bytes.subarray(start) }
}

function lastLine(rest: Buffer): string[] {
  return rest.length === 0 ? [] : [rest.toString('utf8')]
}

function isReplaced(path: string, fd: number): boolean {
  const present = statSync(path, { throwIfNoEntry: false })
  return present !== undefined && present.ino !== fstatSync(fd).ino
}

function openIfThere(path: string): number | null {
  return ifThere(() => openSync(path, 'r'))
}

function contentOf(path: string): Buffer | null {
  return ifThere(() => readFileSync(path))
}

function ifThere<T>(read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}

async function pause(signal: AbortSignal): Promise<void> {
  try {
    await sleep(FOLLOW_PAUSE_MS, undefined, { signal })
  } catch (error) {
    if (!hasCode(error, 'ABORT_ERR')) throw error
  }
}
