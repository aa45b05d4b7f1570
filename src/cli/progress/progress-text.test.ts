import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noPaint } from '../paint.ts'
import { progressText } from './progress-text.ts'

test('bytes and files that were copied are counted', () => {
  assert.equal(
    progressText({ kind: 'take-in', files: 812, bytes: 31_457_280 }, noPaint),
    'Taking the release in: 812 files, 30 MB',
  )
})

test('who is waited for, and how long at most, is told while a slot drains', () => {
  assert.equal(
    progressText({ kind: 'draining', connections: 1, secondsLeft: 250, oldestMs: null, peers: [] }, noPaint),
    'Waiting for 1 old connection to end (cut in 250 s)',
  )
  const peers = [
    { host: '10.0.0.2', connections: 2 },
    { host: 'fd00::1', connections: 1 },
  ]
  assert.equal(
    progressText({ kind: 'draining', connections: 3, secondsLeft: 9, oldestMs: 200_000, peers }, noPaint),
    'Waiting for 3 old connections to end, the oldest of 3 min, from 10.0.0.2 (2), fd00::1 (1) (cut in 9 s)',
  )
})

test('a slot without connections is not waited for', () => {
  const none = { kind: 'draining', connections: 0, secondsLeft: 300, oldestMs: null, peers: [] } as const
  assert.equal(progressText(none, noPaint), null)
})

test('what an app answers to a probe cannot colour the terminal', () => {
  const line = { kind: 'probe', slot: 'green', ok: false, detail: 'HTTP 500 \u001b[31mbad' } as const
  assert.equal(progressText(line, noPaint), 'Probe of green: not yet, HTTP 500 bad')
})
