import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Slot } from '../../core/app.ts'
import { DorcError } from '../../core/errors.ts'
import type { LogLine, LogOptions } from '../supervisor.ts'

/** What the processes of one unit wrote, out of the journal; nothing that others said about the unit. */
export async function* readJournal(unit: string, slot: Slot, options: LogOptions): AsyncGenerator<LogLine> {
  const { lines, follow, run = null, signal } = options
  if (signal.aborted) return
  // Matches of different fields must all hold (journalctl(1)).
  const ofRun = run === null ? [] : [`_SYSTEMD_INVOCATION_ID=${run.invocation}`]
  const matches = [`_SYSTEMD_UNIT=${unit}`, ...ofRun]
  const argv = ['--quiet', '--no-pager', '--all', '--output=json', `--lines=${lines}`]
  const child = spawn('journalctl', [...argv, ...(follow ? ['--follow'] : []), ...matches], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C.UTF-8' },
  })
  const stop = (): boolean => child.kill()
  signal.addEventListener('abort', stop)
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text))
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  // Awaited below; a reader that leaves early does not come that far.
  ended.catch(() => undefined)
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const entry = parseEntry(line, slot)
      if (entry !== null) yield entry
    }
    const status = await ended
    if (status !== 0 && status !== null && !signal.aborted)
      throw new DorcError('SUPERVISOR_FAILED', `Cannot read the journal of "${unit}"`, {
        cause: new Error(complaint.trim() === '' ? `journalctl ended with ${status}` : complaint.trim()),
      })
  } finally {
    signal.removeEventListener('abort', stop)
    stop()
  }
}

/** Null for what is no entry. A message that is not UTF-8 comes as an array of bytes (systemd's JOURNAL_EXPORT). */
export function parseEntry(line: string, slot: Slot): LogLine | null {
  const entry: unknown = JSON.parse(line)
  if (typeof entry !== 'object' || entry === null) return null
  const { MESSAGE: message, __REALTIME_TIMESTAMP: microseconds } = entry as Record<string, unknown>
  const text = Array.isArray(message) ? Buffer.from(message as number[]).toString('utf8') : message
  if (typeof text !== 'string') return null
  return { at: new Date(Number(microseconds) / 1000).toISOString(), slot, text }
}
