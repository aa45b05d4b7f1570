import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exitText } from './exit-text.ts'
import { UnitProperties } from './unit-properties.ts'

const text = (ExecMainCode: number, ExecMainStatus: number, Result: string): string | null =>
  exitText(new UnitProperties('blue-web.service', { ExecMainCode, ExecMainStatus, Result }))

test('how a process ended is told in words', () => {
  assert.equal(text(0, 0, 'success'), null)
  assert.equal(text(1, 0, 'success'), 'exit status 0')
  assert.equal(text(1, 3, 'exit-code'), 'exit status 3')
  assert.equal(text(2, 9, 'signal'), 'signal KILL')
  assert.equal(text(3, 11, 'core-dump'), 'signal SEGV, core dumped')
})

test('what only systemd knows about the end is told with it', () => {
  assert.equal(text(2, 9, 'oom-kill'), 'signal KILL (the kernel was out of memory)')
  assert.equal(text(2, 6, 'watchdog'), 'signal ABRT (it missed its watchdog)')
  assert.equal(text(1, 203, 'exit-code'), 'exit status 203 (systemd cannot execute the program)')
})
