import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { addVisit, emptyTally, reachedWrongSlot, type Receipt, receiptText } from './receipt.ts'

const receipt: Receipt = {
  from: 'blue',
  to: 'green',
  tries: 'http',
  tried: 214,
  failed: 0,
  firstFailure: null,
  worstStallMs: 11.3,
  left: 3,
  reached: 'green',
  reachedAt: 1,
}

describe('a receipt', () => {
  test('counts failures, keeps the first of them and the longest try, and leaves out what was not tried', () => {
    const visits = [
      { outcome: 'answered', tookMs: 2, detail: '' },
      { outcome: 'failed', tookMs: 30, detail: 'connection refused' },
      { outcome: 'untried', tookMs: 900, detail: 'called off' },
      { outcome: 'failed', tookMs: 1, detail: 'connection reset' },
    ] as const
    assert.deepEqual(visits.reduce(addVisit, emptyTally), {
      tried: 3,
      failed: 2,
      firstFailure: 'connection refused',
      worstStallMs: 30,
    })
  })

  for (const [what, changes, text] of [
    [
      'a good one',
      {},
      'Switched to green: 214 tried, 0 failed, worst stall 12 ms, 3 connections left on blue',
    ],
    [
      'one with failures',
      { failed: 2, firstFailure: 'connection refused', left: 1 },
      'Switched to green: 214 tried, 2 failed (first: connection refused), worst stall 12 ms, 1 connection left on blue',
    ],
    [
      'one of an app that does not speak HTTP',
      { tries: 'tcp', left: null },
      'Switched to green: 214 connections tried, 0 failed, worst stall 12 ms, connections left on blue not counted',
    ],
    [
      'one without a proof',
      { reached: null },
      'Switched to green: 214 tried, 0 failed, worst stall 12 ms, 3 connections left on blue; no new connection was seen in green yet',
    ],
    [
      'one that proves the contrary',
      { reached: 'blue' },
      'Switched to green, but a new connection reached blue: 214 tried, 0 failed, worst stall 12 ms, 3 connections left on blue',
    ],
  ] as const) {
    test(`${what} is told in a line`, () => {
      assert.equal(receiptText({ ...receipt, ...changes }), text)
    })
  }

  test('is of a wrong switch only if a connection was seen in another slot', () => {
    assert.deepEqual(
      (['green', 'blue', null] as const).map((reached) => reachedWrongSlot({ ...receipt, reached })),
      [false, true, false],
    )
  })
})
