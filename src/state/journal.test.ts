import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../platform/clock.ts'
import type { Logger } from '../platform/log.ts'
import { type Journal, type JournalEntry, openJournal } from './journal.ts'

function openAt(t: TestContext, path: string, complaints: string[] = []): Journal {
  const complain = (event: string): void => void complaints.push(event)
  const log: Logger = { info: () => undefined, warn: complain, error: complain, child: () => log }
  const journal = openJournal({ path, clock: systemClock, log })
  t.after(() => journal.close())
  return journal
}

function temporaryPath(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'dorc-journal-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return join(dir, 'journal.db')
}

const event = (app: string | null, message: string) => ({
  app,
  type: 'switched',
  message,
  deploy: null,
  by: null,
})

test('events come back in their order, the newest ones, for one app or all', (t) => {
  const journal = openAt(t, temporaryPath(t))
  for (let number = 1; number <= 5; number += 1)
    journal.append(event(number % 2 === 0 ? 'web' : 'api', `event ${number}`))
  const told = (app: string | null, lines: number) =>
    journal.read({ app, lines }).map(({ message }) => message)
  assert.deepEqual(told(null, 3), ['event 3', 'event 4', 'event 5'])
  assert.deepEqual(told('web', 10), ['event 2', 'event 4'])
})

test('who asked is kept', (t) => {
  const path = temporaryPath(t)
  const journal = openAt(t, path)
  const by = { uid: 1000, pid: 4711, user: 'ada' }
  journal.append({ ...event('web', 'x'), by, deploy: 3 })
  const [entry] = openAt(t, path).read({ app: null, lines: 1 })
  assert.deepEqual([entry?.by, entry?.deploy], [by, 3])
})

test('a subscriber is told of each event until it ends', (t) => {
  const journal = openAt(t, temporaryPath(t))
  const told: JournalEntry[] = []
  const end = journal.subscribe((entry) => told.push(entry))
  journal.append(event('web', 'one'))
  end()
  journal.append(event('web', 'two'))
  assert.deepEqual(
    told.map(({ message, seq }) => [message, seq]),
    [['one', 1]],
  )
})

test('events after one that is known are told without it', (t) => {
  const journal = openAt(t, temporaryPath(t))
  const [first] = ['one', 'two', 'three'].map((message) => journal.append(event('web', message)))
  const told = journal.read({ app: 'web', lines: 10, afterSeq: first?.seq ?? 0 })
  assert.deepEqual(
    told.map(({ message }) => message),
    ['two', 'three'],
  )
})

test('numbers go on rising over a restart', (t) => {
  const path = temporaryPath(t)
  const before = openAt(t, path).append(event('web', 'one'))
  const after = openAt(t, path).append(event('web', 'two'))
  assert.ok(after.seq > before.seq)
})

test('only so many events are kept', (t) => {
  const path = temporaryPath(t)
  openAt(t, path).append(event('web', 'old'))
  const database = new DatabaseSync(path)
  // As if there had been many more.
  database.exec('UPDATE events SET seq = seq + 10')
  database.exec("INSERT INTO events (seq, at, type, message) VALUES (150999, 'now', 'switched', 'recent')")
  database.close()
  const journal = openAt(t, path)
  journal.append(event('web', 'new'))
  const told = journal.read({ app: null, lines: 10 }).map(({ message }) => message)
  assert.deepEqual(told, ['recent', 'new'])
})

test('a message as long as a book is cut', (t) => {
  const journal = openAt(t, temporaryPath(t))
  journal.append(event('web', 'x'.repeat(1_000_000)))
  assert.ok((journal.read({ app: null, lines: 1 })[0]?.message.length ?? 0) < 10_000)
})

test('a file that is no journal is moved aside and a new history begins', (t) => {
  const path = temporaryPath(t)
  const text = 'this is no database, but it is long enough to look like one'.repeat(100)
  writeFileSync(path, text)
  const complaints: string[] = []
  const journal = openAt(t, path, complaints)
  journal.append(event('web', 'after'))
  assert.equal(journal.read({ app: null, lines: 10 }).length, 1)
  assert.equal(readFileSync(`${path}.broken`, 'utf8'), text)
  assert.ok(complaints.includes('journal-set-aside'), complaints.join())
})

test('a journal of another layout is moved aside', (t) => {
  const path = temporaryPath(t)
  const database = new DatabaseSync(path)
  database.exec('CREATE TABLE events (what TEXT); PRAGMA user_version = 9')
  database.close()
  const journal = openAt(t, path)
  journal.append(event('web', 'after'))
  assert.equal(journal.read({ app: null, lines: 10 }).length, 1)
  assert.ok(existsSync(`${path}.broken`))
})

test('damage that shows only later is met by a new history, and numbers go on', (t) => {
  const path = temporaryPath(t)
  const before = openAt(t, path)
  for (let number = 0; number < 1_000; number += 1) before.append(event('web', `event ${number}`))
  before.close()
  const bytes = readFileSync(path)
  // All but the first and the last page: the file opens, and the newest entry can be read.
  writeFileSync(path, bytes.fill(0xff, 4096 * 4, bytes.length - 4096))
  const complaints: string[] = []
  const journal = openAt(t, path, complaints)
  const { seq } = journal.append(event('web', 'first'))
  assert.deepEqual(journal.read({ app: 'api', lines: 10 }), [])
  const next = journal.append(event('web', 'second'))
  assert.ok(next.seq > seq)
  assert.deepEqual(
    journal
      .read({ app: null, lines: 2_000 })
      .map(({ message }) => message)
      .at(-1),
    'second',
  )
  assert.ok(complaints.includes('journal-set-aside'), complaints.join())
})

test('no damage to the file keeps a journal from opening, recording and telling', (t) => {
  const path = temporaryPath(t)
  const original = openAt(t, path)
  for (let number = 0; number < 200; number += 1) original.append(event('web', `event ${number}`))
  original.close()
  const bytes = readFileSync(path)
  let seed = 1
  const random = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % below
  }
  for (let round = 0; round < 150; round += 1) {
    for (const left of ['', '-wal', '-shm']) rmSync(path + left, { force: true })
    const damaged = Buffer.from(bytes)
    const at = round % 3 === 0 ? random(100) : random(bytes.length)
    damaged.fill(random(256), at, Math.min(at + 1 + random(600), bytes.length))
    writeFileSync(path, damaged)
    if (round % 5 === 0) truncateSync(path, random(bytes.length))
    const journal = openAt(t, path)
    journal.append(event('web', 'after'))
    assert.equal(journal.append(event('web', 'last')).message, 'last')
    assert.ok(Array.isArray(journal.read({ app: null, lines: 1_000 })))
    journal.close()
  }
})

test('a journal that cannot be opened at all lasts as long as the process', (t) => {
  const path = temporaryPath(t)
  mkdirSync(path)
  const complaints: string[] = []
  const journal = openAt(t, path, complaints)
  journal.append(event('web', 'one'))
  assert.equal(journal.read({ app: 'web', lines: 10 }).length, 1)
  assert.deepEqual(complaints, ['journal-not-opened'])
  assert.ok(existsSync(path), 'what is in its place is left there')
})
