import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { hasCode } from '../core/errors.ts'
import type { JournalEntry } from './journal.ts'

/** Layout of the file; another one is not read. */
const LAYOUT = 1

/**
 * NORMAL: after power loss the last moments of history may be missing, never the file; nothing waits for the disk
 * (sqlite.org/pragma.html#pragma_synchronous).
 */
const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, at TEXT NOT NULL, app TEXT, type TEXT NOT NULL, message TEXT NOT NULL,
    deploy INTEGER, uid INTEGER, pid INTEGER, user TEXT) STRICT;
  CREATE INDEX IF NOT EXISTS events_by_app ON events (app, seq);
  PRAGMA user_version = ${LAYOUT};`

export interface EventQuery {
  /** null: those of all apps. */
  readonly app: string | null
  readonly lines: number
  /** Only what came after the entry with this number. */
  readonly afterSeq?: number
}

/** The events in their SQLite file. Throws the errors of node:sqlite. */
export class EventTable {
  readonly #database: DatabaseSync
  readonly #insert: StatementSync
  readonly #prune: StatementSync
  readonly #select: StatementSync

  constructor(path: string) {
    this.#database = new DatabaseSync(path)
    try {
      const { user_version: layout } = this.#database.prepare('PRAGMA user_version').get() ?? {}
      if (layout !== 0 && layout !== LAYOUT)
        throw new UnknownLayout(`layout ${String(layout)}, not ${LAYOUT}`)
      this.#database.exec(SCHEMA)
      this.#insert = this.#database.prepare('INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)')
      this.#prune = this.#database.prepare('DELETE FROM events WHERE seq <= ?')
      this.#select = this.#database.prepare(
        'SELECT * FROM events WHERE (?1 IS NULL OR app = ?1) AND seq > ?2 ORDER BY seq DESC LIMIT ?3',
      )
    } catch (error) {
      this.#database.close()
      throw error
    }
  }

  lastSeq(): number {
    const { last } = this.#database.prepare('SELECT max(seq) AS last FROM events').get() ?? {}
    return typeof last === 'number' ? last : 0
  }

  insert({ seq, at, app, type, message, deploy, by }: JournalEntry): void {
    this.#insert.run(seq, at, app, type, message, deploy, by?.uid ?? null, by?.pid ?? null, by?.user ?? null)
  }

  /** Forgets every event up to this number. */
  prune(seq: number): void {
    this.#prune.run(seq)
  }

  /** The newest ones, oldest first. */
  select({ app, lines, afterSeq = 0 }: EventQuery): JournalEntry[] {
    return this.#select.all(app, afterSeq, lines).map(entryOf).reverse()
  }

  /** May be called twice. */
  close(): void {
    this.#database[Symbol.dispose]()
  }
}

class UnknownLayout extends Error {}

const SQLITE_CORRUPT = 11
const SQLITE_NOTADB = 26

/** Whether the file itself is at fault, and not the disk or the rights on it: it will never be read again. */
export function isUnreadable(error: unknown): boolean {
  if (error instanceof UnknownLayout) return true
  if (!hasCode(error, 'ERR_SQLITE_ERROR') || !(error instanceof Error) || !('errcode' in error)) return false
  // Extended result codes carry the plain one in their lowest byte.
  return [SQLITE_CORRUPT, SQLITE_NOTADB].includes(Number(error.errcode) & 0xff)
}

function entryOf(row: Record<string, unknown>): JournalEntry {
  const uid = numberIn(row, 'uid')
  return {
    seq: numberIn(row, 'seq') ?? 0,
    at: textIn(row, 'at') ?? '',
    app: textIn(row, 'app'),
    type: textIn(row, 'type') ?? '',
    message: textIn(row, 'message') ?? '',
    deploy: numberIn(row, 'deploy'),
    by: uid === null ? null : { uid, pid: numberIn(row, 'pid') ?? 0, user: textIn(row, 'user') },
  }
}

function numberIn(row: Record<string, unknown>, column: string): number | null {
  const value = row[column]
  return typeof value === 'number' ? value : null
}

function textIn(row: Record<string, unknown>, column: string): string | null {
  const value = row[column]
  return typeof value === 'string' ? value : null
}
