import { renameSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { hasCode } from '../core/errors.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/log.ts'

/** History for people, in SQLite. It decides nothing: no failure of it is thrown, it only costs history. */
export interface Journal {
  append(entry: NewEntry): void
  /** The newest `lines` entries, oldest first. */
  read(query: { readonly app: string | null; readonly lines: number }): JournalEntry[]
  /** Called with each entry as it is made. Returns what ends it. */
  subscribe(listener: (entry: JournalEntry) => void): () => void
  close(): void
}

export interface NewEntry {
  readonly app: string | null
  readonly type: string
  readonly message: string
  readonly deploy: number | null
  readonly by: { readonly uid: number; readonly pid: number; readonly user: string | null } | null
}

export interface JournalEntry extends NewEntry {
  readonly seq: number
  readonly at: string
}

const KEPT_ENTRIES = 100_000
const PRUNE_EVERY = 1_000

// NORMAL: after power loss the last moments of history may be missing, never the file; the loop does not wait for the disk.
const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, app TEXT, type TEXT NOT NULL, message TEXT NOT NULL,
    deploy INTEGER, uid INTEGER, pid INTEGER, user TEXT) STRICT;
  CREATE INDEX IF NOT EXISTS events_by_app ON events (app, seq);`

export function openJournal({ path, clock, log }: { path: string; clock: Clock; log: Logger }): Journal {
  const database = openDatabase(path, log)
  const listeners = new Set<(entry: JournalEntry) => void>()
  const insert = database.prepare(
    'INSERT INTO events (at, app, type, message, deploy, uid, pid, user) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  )
  const prune = database.prepare('DELETE FROM events WHERE seq <= ?')
  const select = database.prepare(
    'SELECT * FROM events WHERE ?1 IS NULL OR app = ?1 ORDER BY seq DESC LIMIT ?2',
  )
  return {
    append(entry) {
      const at = clock.wall()
      const { app, type, message, deploy, by } = entry
      let seq = 0
      try {
        const values = [at, app, type, message, deploy, by?.uid ?? null, by?.pid ?? null, by?.user ?? null]
        seq = Number(insert.run(...values).lastInsertRowid)
        if (seq % PRUNE_EVERY === 0) prune.run(seq - KEPT_ENTRIES)
      } catch (error) {
        log.warn('event-not-recorded', { error, type, message })
      }
      for (const listener of listeners) listener({ ...entry, seq, at })
    },
    read: ({ app, lines }) => select.all(app, lines).map(entryOf).reverse(),
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close: () => database.close(),
  }
}

/** A file that SQLite cannot read is moved aside, and a new history begins. */
function openDatabase(path: string, log: Logger): DatabaseSync {
  try {
    return prepared(path)
  } catch (error) {
    if (!hasCode(error, 'ERR_SQLITE_ERROR')) throw error
    const aside = `${path}.broken`
    log.error('journal-set-aside', { error, aside })
    renameSync(path, aside)
    return prepared(path)
  }
}

function prepared(path: string): DatabaseSync {
  const database = new DatabaseSync(path)
  try {
    database.exec(SCHEMA)
    // Reads one page of the table: a damaged file is found now and not by the first user of it.
    database.prepare('SELECT max(seq) FROM events').get()
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

function entryOf(row: Record<string, unknown>): JournalEntry {
  const { seq, at, app, type, message, deploy, uid, pid, user } = row
  const text = (value: unknown): string => (typeof value === 'string' ? value : '')
  const optional = (value: unknown): number | null => (typeof value === 'number' ? value : null)
  const by = optional(uid)
  return {
    seq: optional(seq) ?? 0,
    at: text(at),
    app: typeof app === 'string' ? app : null,
    type: text(type),
    message: text(message),
    deploy: optional(deploy),
    by:
      by === null ? null : { uid: by, pid: optional(pid) ?? 0, user: typeof user === 'string' ? user : null },
  }
}
