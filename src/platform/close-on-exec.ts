import { readdirSync } from 'node:fs'
import { libc } from './libc.ts'

const fcntl = libc.func('int fcntl(int fd, int command, int flags)')

const F_SETFD = 2
const FD_CLOEXEC = 1

/**
 * Marks every open file but stdin, stdout and stderr close-on-exec, so that programs that are started get only what
 * they are given. Node marks what it opens itself; of what it was started with it stops looking at the first gap
 * after fd 15 (uv_disable_stdio_inheritance).
 */
export function closeFilesOnExec(): void {
  // The fd of this very listing is closed again when its turn comes: the failure of that one call is right.
  for (const name of readdirSync('/proc/self/fd'))
    if (Number(name) > 2) fcntl(Number(name), F_SETFD, FD_CLOEXEC)
}
