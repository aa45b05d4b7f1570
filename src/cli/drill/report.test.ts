import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { noPaint } from '../paint.ts'
import { type DrillReport, formatReport, isGood, latencyOf } from './report.ts'

const report: DrillReport = {
  app: 'web',
  ok: true,
  asked: 10,
  switches: 10,
  tried: 4_200,
  failed: 0,
  firstFailure: null,
  worstStallMs: 8.2,
  latency: { p50: 3.14, p99: 4.9 },
  held: { opened: 5, kept: 5 },
  wasDaemonKilled: false,
  wasInterrupted: false,
  active: 'blue',
  isRestored: true,
  error: null,
  receipts: [],
}

describe('the report of a drill', () => {
  test('tells of a good one', () => {
    assert.equal(
      formatReport(report, noPaint),
      [
        '✔ 10 switches: 4200 tried, 0 failed, worst stall 9 ms',
        '  Until the first new connection: p50 3.1 ms, p99 4.9 ms',
        '  Old connections: 5 of 5 kept',
        '  blue is active, as before',
      ].join('\n'),
    )
  })

  test('tells what ended one early, and that the active slot is another', () => {
    const error = { code: 'NOT_READY', message: 'Green is not ready', hint: null } as const
    const bad = { ...report, ok: false, switches: 3, error, isRestored: false, active: 'green' } as const
    const lines = formatReport({ ...bad, wasDaemonKilled: true }, noPaint).split('\n')
    assert.deepEqual(
      [lines[0], ...lines.slice(-2)],
      [
        '✘ 3 of 10 switches, the daemon killed in between: 4200 tried, 0 failed, worst stall 9 ms',
        '  Ended early: Green is not ready (NOT_READY)',
        '  The active slot is not what it was: green',
      ],
    )
  })

  for (const [what, change] of [
    ['a failed visit', { failed: 1 }],
    ['a lost connection', { held: { opened: 5, kept: 4 } }],
    ['another active slot', { isRestored: false }],
    ['an interruption', { wasInterrupted: true }],
  ] as const) {
    test(`is not good with ${what}`, () => {
      assert.deepEqual([isGood(report), isGood({ ...report, ...change })], [true, false])
    })
  }

  test('has percentiles by nearest rank, and none of nothing', () => {
    const hundred = Array.from({ length: 100 }, (_, at) => 100 - at)
    assert.deepEqual(
      [latencyOf(hundred), latencyOf([7]), latencyOf([])],
      [{ p50: 50, p99: 99 }, { p50: 7, p99: 7 }, null],
    )
  })
})
