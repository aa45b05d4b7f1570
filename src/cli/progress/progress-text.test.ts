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
    progressText({ kind: 'draining', connections: 1, secondsLeft: 250 }, noPaint),
    'Waiting for 1 old connection to end (they are cut in 250 s)',
  )
})

test('what an app answers to a probe cannot colour the terminal', () => {
  const line = { kind: 'probe', slot: 'green', ok: false, detail: 'HTTP 500 \u001b[31mbad' } as const
  assert.equal(progressText(line, noPaint), 'Probe of green: not yet, HTTP 500 bad')
})
