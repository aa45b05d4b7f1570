import { check, libc } from './libc.ts'

const syscall = libc.func('long syscall(long number, long a, long b, long c)')
const close = libc.func('int close(int fd)')

// The same on every architecture: both came after the tables were unified (kernel 5.1).
const SYS_pidfd_open = 434
const SYS_pidfd_getfd = 438

/**
 * A copy of another process's fd, close-on-exec, that the caller closes. Needs CAP_SYS_PTRACE for a process of
 * another user or with more capabilities. Throws SystemCallError: ESRCH, EBADF when the process or its fd is gone.
 */
export function copyFdOf(pid: number, fd: number): number {
  const pidFd = check('pidfd_open', Number(syscall(SYS_pidfd_open, pid, 0, 0)))
  try {
    return check('pidfd_getfd', Number(syscall(SYS_pidfd_getfd, pidFd, fd, 0)))
  } finally {
    close(pidFd)
  }
}

export function closeFd(fd: number): void {
  check('close', close(fd) as number)
}
