import { DorcError, type ErrorCode } from '../core/errors.ts'

/**
 * What a shell script can tell apart: 0 done; 1 failed, and the world is as the message says; 2 wrong usage or input;
 * 3 refused, nothing changed; 4 no such app or release; 5 no daemon.
 */
export type ExitCode = 0 | 1 | 2 | 3 | 4 | 5

/** What shells report for a program that SIGINT ended (128 + 2): following was stopped by the operator. */
export const EXIT_INTERRUPTED = 130

const exitByCode: Readonly<Record<ErrorCode, ExitCode>> = {
  USAGE: 2,
  NAME_INVALID: 2,
  DEFINITION_INVALID: 2,
  PATH_INVALID: 2,
  REQUEST_INVALID: 2,
  PORT_TAKEN: 3,
  APP_EXISTS: 3,
  RELEASE_BAD: 3,
  NOTHING_DEPLOYED: 3,
  NOTHING_NEW: 3,
  NOT_READY: 3,
  NOT_ADMITTED: 3,
  RELOAD_UNDEFINED: 3,
  BUSY: 3,
  CONFLICT: 3,
  FORBIDDEN: 3,
  APP_UNKNOWN: 4,
  RELEASE_UNKNOWN: 4,
  NO_DAEMON: 5,
  RELEASE_INVALID: 1,
  RELEASE_EMPTY: 1,
  SIGNATURE_INVALID: 1,
  UPLOAD_CHANGING: 1,
  UPLOAD_MISSING: 1,
  DAEMON_FAILED: 1,
  STATE_CORRUPT: 1,
  STATE_NOT_SAVED: 1,
  DISK_FULL: 1,
  UNIT_FAILED: 1,
  HOOK_FAILED: 1,
  SUPERVISOR_FAILED: 1,
  DEPLOY_TIMED_OUT: 1,
  SWITCH_TIMED_OUT: 1,
  PROBE_FAILED: 1,
  SUPERSEDED: 1,
  DATA_PLANE_FAILED: 1,
  SETUP_FAILED: 1,
}

/** Anything but a DorcError is a bug of ours: 1. */
export function exitCodeOf(error: unknown): ExitCode {
  return error instanceof DorcError ? exitByCode[error.code] : 1
}
