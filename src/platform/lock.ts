import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { check, libc } from './libc.ts'
import { DorcError, hasCode } from '../core/errors.ts'

const flock = libc.func('int flock(int fd, int operation)')
const LOCK_EX = 2
const LOCK_NB = 4

/**
 * Takes the lock at `path` for this process; the kernel gives it back when the process ends, however that
 * happens (flock(2)). Throws BUSY if another process has it.
 */
export function takeLock(path: string): Disposable {
  mkdirSync(dirname(path), { recursive: true })
  const fd = openSync(path, 'a', 0o600)
  try {
    check('flock', flock(fd, LOCK_EX | LOCK_NB))
  } catch (error) {
    closeSync(fd)
    if (!hasCode(error, 'EAGAIN')) throw error
    throw new DorcError('BUSY', `Another daemon runs here already: "${path}" is locked`)
  }
  return { [Symbol.dispose]: () => closeSync(fd) }
}
