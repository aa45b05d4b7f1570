/**
 * Every failure that an operator can meet. docs/errors.md has a section for each code: a test compares the two.
 * The code crosses the socket unchanged; api/routes.ts maps it to an HTTP status, cli/exit-codes.ts to an exit status.
 */
export const ERROR_CODES = [
  'USAGE',
  'NAME_INVALID',
  'DEFINITION_INVALID',
  'PORT_TAKEN',
  'PATH_INVALID',
  'APP_EXISTS',
  'APP_UNKNOWN',
  'RELEASE_UNKNOWN',
  'RELEASE_BAD',
  'RELEASE_INVALID',
  'RELEASE_EMPTY',
  'SIGNATURE_INVALID',
  'UPLOAD_CHANGING',
  'UPLOAD_MISSING',
  'NOTHING_DEPLOYED',
  'NOTHING_NEW',
  'NOT_READY',
  'NOT_ADMITTED',
  'RELOAD_UNDEFINED',
  'BUSY',
  'CONFLICT',
  'FORBIDDEN',
  'NO_DAEMON',
  'DAEMON_FAILED',
  'REQUEST_INVALID',
  'STATE_CORRUPT',
  'STATE_NOT_SAVED',
  'DISK_FULL',
  'UNIT_FAILED',
  'HOOK_FAILED',
  'SUPERVISOR_FAILED',
  'DEPLOY_TIMED_OUT',
  'SWITCH_TIMED_OUT',
  'PROBE_FAILED',
  'SUPERSEDED',
  'DATA_PLANE_FAILED',
  'SETUP_FAILED',
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

export interface DorcErrorOptions {
  readonly cause?: unknown
  /** The next command to type, or the thing to change. */
  readonly hint?: string
}

/** A failure that an operator can cause, meet or mend. Anything else that is thrown is a bug of ours. */
export class DorcError extends Error {
  override readonly name = 'DorcError'
  readonly code: ErrorCode
  readonly hint: string | null

  /** `message` states the action that failed, quotes values, has no full stop and does not repeat its cause. */
  constructor(code: ErrorCode, message: string, options: DorcErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint ?? null
  }
}

/** The whole chain of causes in one line: `Cannot start unit "x": Unit not found`. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return typeof error === 'string' ? error : JSON.stringify(error)
  const cause = error.cause
  return cause === undefined || cause === null ? error.message : `${error.message}: ${describeError(cause)}`
}

/** True for errors of Node and of our system calls, which carry the errno's name: `ENOENT`. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
