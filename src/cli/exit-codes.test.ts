import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DorcError, ERROR_CODES, type ErrorCode } from '../core/errors.ts'
import { exitCodeOf } from './exit-codes.ts'

test('every error code has one of the promised exit statuses', () => {
  for (const code of ERROR_CODES) {
    const status = exitCodeOf(new DorcError(code, 'Failed'))
    assert.ok([1, 2, 3, 4, 5].includes(status), `${code} exits with ${status}`)
  }
})

test('scripts can tell failed, misused, refused, unknown and no daemon apart', () => {
  const expected: Partial<Record<ErrorCode, number>> = {
    UNIT_FAILED: 1,
    DEPLOY_TIMED_OUT: 1,
    USAGE: 2,
    DEFINITION_INVALID: 2,
    NOT_READY: 3,
    BUSY: 3,
    PORT_TAKEN: 3,
    CONFLICT: 3,
    APP_UNKNOWN: 4,
    RELEASE_UNKNOWN: 4,
    NO_DAEMON: 5,
  }
  for (const [code, status] of Object.entries(expected)) {
    assert.equal(exitCodeOf(new DorcError(code as ErrorCode, 'Failed')), status, code)
  }
})

test('a bug of dorc exits with 1', () => {
  assert.equal(exitCodeOf(new TypeError('x is undefined')), 1)
})
