import { closeSync, fstatSync, statSync } from 'node:fs'
import type { Target } from '../../core/app.ts'
import type { ListenAddress } from '../../core/definition.ts'
import { check, libc, SystemCallError } from '../../platform/libc.ts'
import { closeFd, copyFdOf } from '../../platform/pidfd.ts'
import { portListener } from '../../platform/port-listener.ts'
import { socketAt } from '../../platform/proc.ts'

const getsockopt = libc.func('int getsockopt(int fd, int level, int name, void *value, void *length)')
const ioctl = libc.func('int ioctl(int fd, unsigned long request, long argument)')

/** asm-generic/socket.h, <linux/in.h>, <linux/sockios.h>: the same on x86-64 and arm64. */
const SOL_SOCKET = 1
const SO_ACCEPTCONN = 30
const SO_PROTOCOL = 38
const SO_DOMAIN = 39
const SO_COOKIE = 57
const IPPROTO_TCP = 6
const IPPROTO_IPV6 = 41
const IPV6_V6ONLY = 26
const AF_INET = 2
const IPPROTO_MPTCP = 262
const SIOCGSKNS = 0x894c

export type AppListener =
  | {
      readonly kind: 'fit'
      readonly cookie: bigint
      /** Clients that it cannot be handed, as a sentence; null: none. */
      readonly exception: string | null
    }
  /** It listens, and the kernel cannot be told to hand it connections. */
  | { readonly kind: 'unfit'; readonly reason: string }
  /** Nobody of these processes listens there (yet). */
  | { readonly kind: 'none' }

/**
 * Lends a copy of the socket on which one of `pids` listens for `target` to `use`, if the kernel can steer to it. The copy
 * is closed before this returns: while it is open it keeps a dead app's listener alive, and clients would connect to
 * nobody. Throws SystemCallError of `use`.
 */
export function withAppListener(
  pids: readonly number[],
  { target, listen }: { target: Target; listen: ListenAddress },
  use: (fd: number) => void,
): AppListener {
  const found = portListener(pids, target.port)
  if (found.kind !== 'owned') return { kind: 'none' }
  const copy = copySocket(found)
  if (typeof copy !== 'number') return copy
  try {
    const families = familiesOf(copy)
    const wanted = familiesWanted(listen)
    const lacking = wanted.filter((family) => !families.includes(family))
    const reason = unfitness(copy) ?? (lacking.length === wanted.length ? lackOf(lacking) : null)
    if (reason !== null) return { kind: 'unfit', reason }
    use(copy)
    const exception = lacking.length === 0 ? null : `${lackOf(lacking)}: those clients take the relay`
    return { kind: 'fit', cookie: option(copy, SO_COOKIE, 8), exception }
  } finally {
    closeFd(copy)
  }
}

function copySocket({
  pid,
  fdPath,
  inode,
}: {
  pid: number
  fdPath: string
  inode: number
}): number | AppListener {
  try {
    const copy = copyFdOf(pid, Number(fdPath.slice(fdPath.lastIndexOf('/') + 1)))
    // The number may have become another file since it was read.
    if (socketAt(`/proc/self/fd/${copy}`) === inode) return copy
    closeFd(copy)
    return { kind: 'none' }
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error
    if (error.code !== 'EPERM') return { kind: 'none' }
    return {
      kind: 'unfit',
      reason: `the kernel forbids taking the listening socket of pid ${pid} (CAP_SYS_PTRACE, kernel.yama.ptrace_scope)`,
    }
  }
}

/** What the kernel would refuse or, worse, take and never deliver to; null if it is fit. */
function unfitness(fd: number): string | null {
  const protocol = Number(option(fd, SO_PROTOCOL, 4))
  if (protocol === IPPROTO_MPTCP) return 'it listens with MPTCP (Go: GODEBUG=multipathtcp=0 turns that off)'
  if (protocol !== IPPROTO_TCP) return `it listens with IP protocol ${protocol}, not TCP`
  if (option(fd, SO_ACCEPTCONN, 4) !== 1n) return 'its socket does not listen'
  if (networkNamespaceOf(fd) !== statSync('/proc/self/ns/net').ino)
    return 'it listens in a network namespace of its own'
  return null
}

type Family = 'IPv4' | 'IPv6'

function familiesWanted({ host }: ListenAddress): Family[] {
  if (!host.includes(':')) return ['IPv4']
  return host === '::' ? ['IPv4', 'IPv6'] : ['IPv6']
}

function familiesOf(fd: number): Family[] {
  if (option(fd, SO_DOMAIN, 4) === BigInt(AF_INET)) return ['IPv4']
  return option(fd, IPV6_V6ONLY, 4, IPPROTO_IPV6) === 1n ? ['IPv6'] : ['IPv4', 'IPv6']
}

const lackOf = (families: readonly Family[]): string => `it does not listen for ${families.join(' and ')}`

function networkNamespaceOf(fd: number): number {
  const namespace = check('ioctl SIOCGSKNS', ioctl(fd, SIOCGSKNS, 0) as number)
  try {
    return fstatSync(namespace).ino
  } finally {
    closeSync(namespace)
  }
}

function option(fd: number, name: number, bytes: 4 | 8, level = SOL_SOCKET): bigint {
  const value = Buffer.alloc(8)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes, 0)
  check('getsockopt', getsockopt(fd, level, name, value, length) as number)
  return value.readBigUInt64LE(0)
}
