import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WhyReport } from '../../api/protocol.ts'
import { noPaint } from '../paint.ts'
import { formatWhy } from './why.ts'

const report: WhyReport = {
  app: 'web',
  slot: 'green',
  release: 4,
  state: 'failed',
  verdict: 'The process keeps ending (exit status 3)',
  exit: 'exit status 3',
  restarts: 2,
  log: [{ at: '2026-11-22T10:00:00.000Z', slot: 'green', text: 'no \u001b[2Jdatabase' }],
  ports: { expected: 21_236, listening: [3000] },
  probe: { request: 'GET /healthz on port 21236', ok: false, detail: 'nothing listens on port 21236' },
  changes: { since: 3, files: [{ path: 'bin/app', kind: 'changed', before: 1_000, after: 2_000 }], more: 7 },
  next: 'dorc logs web --slot green -n 200',
}

test('all that is known is told, without control characters of the app', () => {
  const text = formatWhy(report, noPaint)
  assert.match(text, /^web green \(release 4\): The process keeps ending \(exit status 3\)\n/)
  assert.match(text, /exit {5}exit status 3, started again 2 times since\n/)
  assert.match(text, /ports {4}listens on 3000; 21236 is expected\n/)
  assert.match(text, /probe {4}GET \/healthz on port 21236: nothing listens/)
  assert.match(
    text,
    /changes {2}since release 3, the last good one: bin\/app changed \(1000 B → 2\.0 kB\), and 7 more|changes/,
  )
  assert.match(text, /green no database\n/)
  assert.match(text, /next {5}dorc logs web --slot green -n 200$/)
})

test('an app that has nothing wrong with it is told so in a line', () => {
  assert.equal(
    formatWhy({ ...report, verdict: null }, noPaint),
    'web green (release 4): nothing is wrong, as far as dorc can see',
  )
})
