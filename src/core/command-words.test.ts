import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { joinCommand, splitCommand } from './command-words.ts'

test('quotes and backslashes hold words together', () => {
  const line = String.raw`run --name "two words" 'and $HOME' a\ b "say \"hi\"" ''`
  assert.deepEqual(splitCommand(line), {
    ok: true,
    words: ['run', '--name', 'two words', 'and $HOME', 'a b', 'say "hi"', ''],
  })
})

test('an open quote is named', () => {
  assert.deepEqual(splitCommand('echo "half'), { ok: false, problem: 'a " is not closed' })
  assert.deepEqual(splitCommand('echo \\'), { ok: false, problem: 'it ends with a backslash' })
})

test('any words that are joined come apart as they were', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), (words) => {
      assert.deepEqual(splitCommand(joinCommand(words)), { ok: true, words })
    }),
  )
})
