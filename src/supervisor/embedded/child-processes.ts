import koffi from 'koffi'
import { check, libc } from '../../platform/libc.ts'
import { zombiesOf } from '../../platform/proc.ts'

/** The system calls about children that Node has not. */
const prctl = libc.func(
  'int prctl(int option, unsigned long value, unsigned long, unsigned long, unsigned long)',
)
const waitpid = libc.func('int waitpid(int pid, void *status, int options)')
const waitid = libc.func('int waitid(int kind, uint32_t id, void *siginfo, int options)')
const pipe2 = libc.func('int pipe2(_Out_ int *fds, int flags)')

const PR_SET_CHILD_SUBREAPER = 36
const P_ALL = 0
const WNOHANG = 1
const WEXITED = 4
const WNOWAIT = 0x01000000
const SIGINFO_BYTES = 128
const O_CLOEXEC = 0x80000
const ECHILD = 10

/** From now on descendants whose parent dies become children of this process (prctl(2)). */
export function becomeSubreaper(): void {
  check('prctl', prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) as number)
}

/** The kernel's own word on it, unlike a walk through /proc while processes fork. Reaps nothing. */
export function isWithoutChildren(): boolean {
  const siginfo = Buffer.alloc(SIGINFO_BYTES)
  return (waitid(P_ALL, 0, siginfo, WEXITED | WNOHANG | WNOWAIT) as number) < 0 && koffi.errno() === ECHILD
}

/** Collects dead children but `ownPid`, whose exit Node itself waits for. */
export function reapChildren(ownPid: number | null): void {
  for (const pid of zombiesOf(process.pid)) if (pid !== ownPid) waitpid(pid, null, WNOHANG)
}

/** Close-on-exec ends, [read, write], that the caller closes. A pipe, not Node's socket pair: apps open /dev/stdout. */
export function pipe(): [number, number] {
  const fds = [-1, -1]
  check('pipe2', pipe2(fds, O_CLOEXEC) as number)
  return [fds[0] ?? -1, fds[1] ?? -1]
}
