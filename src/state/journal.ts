import { existsSync, renameSync } from 'node:fs'
import { describeError } from '../core/errors.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/log.ts'
import { type EventQuery, EventTable, isUnreadable } from './event-table.ts'

export interface NewEntry {
  /** null: it is about the daemon itself. */
  readonly app: string | null
  readonly type: string
  readonly message: string
  readonly deploy: number | null
  /** null: dorc did it by itself. */
  readonly by: { readonly uid: number; readonly pid: number; readonly user: string | null } | null
}

export interface JournalEntry extends NewEntry {
  /** Rises with every entry. */
  readonly seq: number
  /** Wall clock, ISO 8601. */
  readonly at: string
}

export interface JournalDeps {
  /** In a directory that exists. */
  readonly path: string
  readonly clock: Clock
  readonly log: Logger
}

const KEPT_ENTRIES = 100_000
const PRUNE_EVERY = 1_000
const LONGEST_MESSAGE = 4_000

/** Opens the journal, whatever state its file is in: at worst history begins anew, or ends with this process. */
export function openJournal(deps: JournalDeps): Journal {
  return new Journal(deps)
}

/**
 * History for people, in SQLite. Nothing is decided from it, so nothing of it is ever thrown: what goes wrong is
 * logged, and costs history only. One process writes it at a time.
 */
export class Journal {
  readonly #deps: JournalDeps
  readonly #listeners = new Set<(entry: JournalEntry) => void>()
  #events: EventTable
  #lastSeq: number

  constructor(deps: JournalDeps) {
    this.#deps = deps
    this.#events = this.#open()
    this.#lastSeq = this.#attempt('journal-not-read', (events) => events.lastSeq()) ?? 0
  }

  /** Tells subscribers even if the disk does not take it. */
  append(entry: NewEntry): JournalEntry {
    this.#lastSeq += 1
    const message = entry.message.slice(0, LONGEST_MESSAGE)
    const appended = { ...entry, message, seq: this.#lastSeq, at: this.#deps.clock.wall() }
    this.#attempt('event-not-recorded', (events) => {
      events.insert(appended)
      if (appended.seq % PRUNE_EVERY === 0) events.prune(appended.seq - KEPT_ENTRIES)
    })
    for (const listener of this.#listeners) listener(appended)
    return appended
  }

  /** The newest entries, oldest first. */
  read(query: EventQuery): JournalEntry[] {
    return this.#attempt('journal-not-read', (events) => events.select(query)) ?? []
  }

  /** Calls back with each entry as it is made. Returns what ends it. */
  subscribe(listener: (entry: JournalEntry) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(): void {
    this.#events.close()
  }

  /** A file that turns out to be damaged is set aside, and the new one is tried. */
  #attempt<T>(failed: string, action: (events: EventTable) => T): T | null {
    try {
      return action(this.#events)
    } catch (error) {
      this.#deps.log.warn(failed, { error })
      if (!isUnreadable(error)) return null
    }
    this.#events.close()
    this.#setAside()
    this.#events = this.#open()
    try {
      return action(this.#events)
    } catch (error) {
      this.#deps.log.warn(failed, { error })
      return null
    }
  }

  #open(): EventTable {
    const { path, log } = this.#deps
    try {
      return new EventTable(path)
    } catch (error) {
      log.error('journal-not-opened', { error, path })
      if (!isUnreadable(error)) return new EventTable(':memory:')
    }
    this.#setAside()
    try {
      return new EventTable(path)
    } catch (error) {
      log.error('journal-not-opened', { error, path })
      return new EventTable(':memory:')
    }
  }

  /** With its write-ahead log, which belongs to no other file. The one set aside before is given up. */
  #setAside(): void {
    const { path, log } = this.#deps
    for (const part of ['', '-wal', '-shm']) {
      try {
        if (existsSync(path + part)) renameSync(path + part, `${path}.broken${part}`)
      } catch (error) {
        log.error('journal-not-set-aside', { reason: describeError(error), path: path + part })
      }
    }
    log.error('journal-set-aside', { aside: `${path}.broken` })
  }
}
