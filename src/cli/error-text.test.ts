import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DorcError } from '../core/errors.ts'
import { errorDocument, errorText } from './error-text.ts'
import { noPaint } from './paint.ts'

const error = new DorcError('UNIT_FAILED', 'Cannot start unit "green-web.service"', {
  cause: new Error('Unit entered failed\u001b[2J state'),
  hint: 'Run: journalctl -u green-web -n 50\nThen: dorc status web',
})

test('an error is told with its causes and its code, and the hint under it', () => {
  assert.equal(
    errorText(error, noPaint),
    [
      'dorc: Cannot start unit "green-web.service": Unit entered failed state (UNIT_FAILED)',
      '      Run: journalctl -u green-web -n 50',
      '      Then: dorc status web',
    ].join('\n'),
  )
})

test('the JSON of an error is the body that the daemon would send', () => {
  assert.deepEqual(errorDocument(error), {
    error: {
      code: 'UNIT_FAILED',
      message: 'Cannot start unit "green-web.service": Unit entered failed state',
      hint: 'Run: journalctl -u green-web -n 50\nThen: dorc status web',
    },
  })
})

test('what is not a DorcError is told as a bug, with where it happened', () => {
  const text = errorText(new TypeError('x is undefined'), noPaint)
  assert.match(
    text,
    /^dorc: This is a bug in dorc, please report it\n {6}TypeError: x is undefined\n {6} *at /,
  )
})
