import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dueAfter } from './connections.ts'

for (const [what, spreadMs, due] of [
  ['without a spread all are due at once', 0, [5, 5, 5, 5]],
  ['with a spread they are due evenly, the first one at once', 10_000, [1, 2, 5, 5]],
  ['a long spread leaves most for later', 100_000, [1, 1, 1, 5]],
] as const) {
  test(`of 5 connections to close, ${what}`, () => {
    assert.deepEqual(
      [0, 2_000, 9_999, 100_000].map((elapsedMs) => dueAfter(elapsedMs, 5, spreadMs)),
      due,
    )
  })
}
