import { constants } from 'node:os'
import koffi from 'koffi'

/**
 * The C library over FFI. Each user declares the few functions that it needs beside their use:
 *
 *   const close = libc.func('int close(int fd)')
 *   check('close', close(fd))
 *
 * koffi saves errno after each call of its own; read it before the next one.
 */
export const libc = koffi.load('libc.so.6')

const namesByErrno = new Map<number, string>(
  // Of two names for one number the first is Node's: EAGAIN, not EWOULDBLOCK.
  Object.entries(constants.errno)
    .map(([name, value]): [number, string] => [value, name])
    .toReversed(),
)

/** A failed system call; `code` is the errno's name, as in Node's own errors. */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError'
  readonly code: string
  readonly errno: number
  readonly syscall: string

  constructor(syscall: string, errno: number) {
    const code = namesByErrno.get(errno) ?? `errno ${errno}`
    super(`${syscall} failed with ${code}`)
    this.code = code
    this.errno = errno
    this.syscall = syscall
  }
}

/** Passes a system call's result through, or throws SystemCallError if it is negative. */
export function check(syscall: string, result: number): number {
  if (result < 0) throw new SystemCallError(syscall, koffi.errno())
  return result
}
