import type { ErrorBody } from '../api/protocol.ts'
import { describeError, DorcError } from '../core/errors.ts'
import type { Paint } from './paint.ts'
import { plainText } from './plain-text.ts'

/** An error as --json tells it: the very body with which the daemon would answer. */
export function errorDocument(error: unknown): ErrorBody {
  const message = plainText(describeError(error))
  if (!(error instanceof DorcError)) return { error: { code: 'DAEMON_FAILED', message, hint: null } }
  return { error: { code: error.code, message, hint: error.hint } }
}

/** `dorc: Message: cause (CODE)`, and the hint under it. */
export function errorText(error: unknown, paint: Paint): string {
  if (!(error instanceof DorcError)) return bugText(error, paint)
  const first = `${paint.bad('dorc:')} ${plainText(describeError(error))} ${paint.dim(`(${error.code})`)}`
  const hints = (error.hint ?? '').split('\n').filter((line) => line !== '')
  return [first, ...hints.map((line) => `      ${plainText(line)}`)].join('\n')
}

function bugText(error: unknown, paint: Paint): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return [
    `${paint.bad('dorc:')} This is a bug in dorc, please report it`,
    ...stack.split('\n').map((line) => `      ${plainText(line)}`),
  ].join('\n')
}
