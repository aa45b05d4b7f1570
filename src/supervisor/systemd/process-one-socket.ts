import type { ListenAddress } from '../../core/definition.ts'
import { hasCode } from '../../core/errors.ts'
import { closeFd, copyFdOf } from '../../platform/pidfd.ts'
import { socketAt, socketsOf } from '../../platform/proc.ts'
import { tcpListeners } from '../../platform/sock-diag.ts'

const PROCESS_ONE = 1

/**
 * A copy of the listening socket that process 1 holds for this address; the caller closes it. null if it holds none;
 * `forbidden` if it does, and the kernel forbids to copy it (no CAP_SYS_PTRACE, kernel.yama.ptrace_scope=3).
 */
export function copyListenerOfProcessOne(listen: ListenAddress): number | 'forbidden' | null {
  const address = canonical(listen.host)
  const inodes = tcpListeners(listen.port)
    .filter((listener) => canonical(listener.address) === address)
    .map(({ inode }) => inode)
  for (const [path, inode] of socketsOf(PROCESS_ONE)) {
    if (!inodes.includes(inode)) continue
    const copy = copyUnlessClosed(Number(path.slice(path.lastIndexOf('/') + 1)))
    if (copy === 'forbidden') return copy
    if (copy === null) continue
    // The number may have become another file since it was read.
    if (socketAt(`/proc/self/fd/${copy}`) === inode) return copy
    closeFd(copy)
  }
  return null
}

/** `text` is an address as systemd writes it: `[::]:8080`. */
export function isSameListen(text: string, listen: ListenAddress): boolean {
  const portAt = text.lastIndexOf(':')
  const host = text.slice(0, portAt).replace(/^\[|\]$/g, '')
  return (
    text.slice(portAt + 1) === String(listen.port) &&
    host !== '' &&
    canonical(host) === canonical(listen.host)
  )
}

function copyUnlessClosed(fd: number): number | 'forbidden' | null {
  try {
    return copyFdOf(PROCESS_ONE, fd)
  } catch (error) {
    if (hasCode(error, 'EBADF')) return null
    if (hasCode(error, 'EPERM')) return 'forbidden'
    throw error
  }
}

/** One text for each address: IPv6 has many. */
function canonical(host: string): string {
  return host.includes(':') ? new URL(`http://[${host}]`).hostname : host
}
