import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../platform/clock.ts'
import type { Logger } from '../platform/log.ts'
import { type Journal, type JournalEntry, openJournal } from './journal.ts'

const silent: Logger = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silent,
}

function openAt(t: TestContext, path: string): Journal {
  const journal = openJournal({ path, clock: systemClock, log: silent })
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

test('a broken file is moved aside and a new history begins', (t) => {
  const path = temporaryPath(t)
  writeFileSync(path, 'this is no database, but it is long enough to look like one'.repeat(100))
  const journal = openAt(t, path)
  journal.append(event('web', 'after'))
  assert.equal(journal.read({ app: null, lines: 10 }).length, 1)
  assert.ok(existsSync(`${path}.broken`))
})
