import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatDuration, parseDuration } from './durations.ts'

test('durations are read as people write them', () => {
  assert.deepEqual(
    ['2s', '500ms', '1min', '1h 30min', '1.5s', '10', 3, ' 5 s '].map(parseDuration),
    [2_000, 500, 60_000, 5_400_000, 1_500, 10_000, 3_000, 5_000],
  )
})

test('what is no duration is not guessed at', () => {
  for (const text of [
    '',
    'soon',
    '2 fortnights',
    '-1s',
    '1s2',
    's',
    Number.NaN,
    -1,
    Number.POSITIVE_INFINITY,
    '9'.repeat(400),
    '99999999999999999d',
  ])
    assert.equal(parseDuration(text), null)
})

test('a duration that is written can be read again', () => {
  fc.assert(fc.property(fc.nat(), (ms) => assert.equal(parseDuration(formatDuration(ms)), ms)))
})
