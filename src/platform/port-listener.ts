import { userName } from './accounts.ts'
import { allProcesses, ownerOf, processStat, socketAt, socketsOf } from './proc.ts'
import { type TcpListener, tcpListeners } from './sock-diag.ts'

/** Who gets the connections that are made to a port of this host. */
export type PortListener =
  | {
      readonly kind: 'owned'
      /** The address to connect to: loopback if it listens there. */
      readonly host: string
      readonly pid: number
      /** The listening socket, as that process has it open: `/proc/PID/fd/N`. Of several that share the port, one. */
      readonly fdPath: string
      readonly inode: number
      /** Connections that wait to be accepted, over all sockets that share the port. */
      readonly acceptQueue: number
      readonly backlog: number
    }
  | {
      readonly kind: 'foreign'
      /** null: we may not see whose it is. */
      readonly pid: number | null
      readonly command: string | null
      readonly user: string
    }
  | {
      readonly kind: 'none'
      /** The ports that the processes listen on instead. */
      readonly others: readonly number[]
    }

/**
 * Whether a connection to `port` reaches one of these processes, judged as the kernel picks the socket: by address,
 * the most specific first. One socket of another process among those that share the address makes it foreign
 * (SO_REUSEPORT spreads connections over all of them).
 */
export function portListener(pids: readonly number[], port: number): PortListener {
  const listeners = tcpListeners(port)
  if (listeners.length === 0) return { kind: 'none', others: portsOf(pids) }
  const holders = new Map(listeners.map(({ inode }) => [inode, holderAmong(pids, inode)]))
  let foreign: TcpListener | null = null
  for (const host of hostsOf(listeners)) {
    const reached = reachedBy(host, listeners)
    const inode = reached[0]?.inode ?? 0
    const holder = holders.get(inode) ?? null
    const stranger = reached.find((listener) => (holders.get(listener.inode) ?? null) === null)
    if (stranger === undefined && holder !== null)
      return {
        kind: 'owned',
        host,
        ...holder,
        inode,
        acceptQueue: sum(reached, 'acceptQueue'),
        backlog: sum(reached, 'backlog'),
      }
    foreign ??= stranger ?? null
  }
  return foreign === null ? { kind: 'none', others: portsOf(pids) } : describeForeign(foreign)
}

/** Every address worth connecting to, loopback first; wildcards are reached over loopback. */
function hostsOf(listeners: readonly TcpListener[]): string[] {
  const specific = listeners.map(({ address }) => address).filter((address) => !isWildcard(address))
  const hosts = new Set(['127.0.0.1', '::1', ...specific])
  return [...hosts].filter((host) => reachedBy(host, listeners).length > 0)
}

/** The sockets that share the connections to `host` (compute_score in net/ipv4 and net/ipv6/inet_hashtables.c). */
function reachedBy(host: string, listeners: readonly TcpListener[]): TcpListener[] {
  const exact = listeners.filter(({ address }) => address === host)
  if (exact.length > 0) return exact
  const isV6 = host.includes(':')
  const ownFamily = listeners.filter(({ address }) => address === (isV6 ? '::' : '0.0.0.0'))
  if (ownFamily.length > 0 || isV6) return ownFamily
  return listeners.filter(({ address, isV6Only }) => address === '::' && !isV6Only)
}

const isWildcard = (address: string): boolean => address === '0.0.0.0' || address === '::'

/** The ports that any of these processes listens on, lowest first. */
export function portsOf(pids: readonly number[]): number[] {
  const owned = new Set(pids.flatMap((pid) => [...socketsOf(pid).values()]))
  const ports = tcpListeners()
    .filter(({ inode }) => owned.has(inode))
    .map(({ port }) => port)
  return [...new Set(ports)].sort((a, b) => a - b)
}

interface Holder {
  readonly pid: number
  readonly fdPath: string
}

/** Where a socket was seen last. A program with 10,000 open files makes looking for it anew with each probe dear. */
const lastSeen = new Map<number, Holder>()
const MAX_SEEN = 1_000

function holderAmong(pids: readonly number[], inode: number): Holder | null {
  const seen = lastHolder(inode)
  if (seen !== null && pids.includes(seen.pid)) return seen
  for (const pid of pids) {
    for (const [fdPath, held] of socketsOf(pid)) {
      if (held !== inode) continue
      if (lastSeen.size >= MAX_SEEN) lastSeen.clear()
      const holder = { pid, fdPath }
      lastSeen.set(inode, holder)
      return holder
    }
  }
  return null
}

/** The process that was seen to hold the socket and still does; others may hold it as well. */
function lastHolder(inode: number): Holder | null {
  const seen = lastSeen.get(inode)
  if (seen === undefined) return null
  if (socketAt(seen.fdPath) === inode) return seen
  lastSeen.delete(inode)
  return null
}

function describeForeign({ inode, uid }: TcpListener): PortListener {
  const pid = holderAmong(allPids(), inode)?.pid ?? null
  const owner = pid === null ? null : ownerOf(pid)
  const command = pid === null ? null : (processStat(pid)?.command ?? null)
  return { kind: 'foreign', pid, command, user: userName(owner?.uid ?? uid) }
}

const allPids = (): number[] => allProcesses().map(({ pid }) => pid)

const sum = (listeners: readonly TcpListener[], key: 'acceptQueue' | 'backlog'): number =>
  listeners.reduce((total, listener) => total + listener[key], 0)
