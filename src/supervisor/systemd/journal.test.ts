import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseEntry } from './journal.ts'

const entry = (message: unknown): string =>
  JSON.stringify({ MESSAGE: message, __REALTIME_TIMESTAMP: '1795420800000000' })

test('an entry of the journal becomes a line with its time', () => {
  assert.deepEqual(parseEntry(entry('hello'), 'blue'), {
    at: '2026-11-23T08:00:00.000Z',
    slot: 'blue',
    text: 'hello',
  })
})

test('a message that is not UTF-8 comes as bytes, and is shown as well as can be', () => {
  assert.equal(parseEntry(entry([104, 105, 255]), 'green')?.text, 'hi\ufffd')
})

test('an entry without a message is no line', () => {
  assert.equal(parseEntry(entry(null), 'blue'), null)
})
