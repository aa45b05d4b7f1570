import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
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

test('what is split is what a shell makes of it', () => {
  // Without the characters that only a shell gives a meaning to.
  const line = fc.string({
    unit: fc.constantFrom(' ', '\t', 'a', 'b', "'", '"', '\\', '=', '-', '{', '/', '%'),
    maxLength: 20,
  })
  const lines = fc.sample(line, 2_000).filter((text) => splitCommand(text).ok)
  assert.ok(lines.length > 200)
  const script = lines.map((text) => `printf '%s\\0' ${text}\nprintf '\\0end\\0'\n`).join('')
  const answers = execFileSync('/bin/sh', ['-fs'], { input: script, encoding: 'utf8', env: {} }).split(
    '\0\0end\0',
  )
  lines.forEach((text, at) => {
    const split = splitCommand(text)
    // printf without an argument prints an empty one.
    const words = split.ok && split.words.length > 0 ? split.words : ['']
    assert.deepEqual(answers[at]?.split('\0'), words, JSON.stringify(text))
  })
})
