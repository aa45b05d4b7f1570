import { SLOTS, type Slot } from '../../core/app.ts'
import type { ListenAddress } from '../../core/definition.ts'
import { processStat, socketsOf } from '../../platform/proc.ts'
import {
  countTcpConnections,
  resetConnection,
  type SocketId,
  type TcpConnection,
  tcpConnections,
} from '../../platform/sock-diag.ts'
import type { Connection } from '../dataplane.ts'
import { mapLookup } from './bpf.ts'
import { AF_INET, BIRTH, MAPS } from './layout.ts'
import type { MapFds } from './program.ts'

/** `struct inet_diag_sockid`: where the peer's port and address are. */
const PEER_PORT = 2
const PEER_IP = 20
const NS_PER_MS = 1_000_000

/**
 * Steered connections are the slots' own sockets, with the public port as their local one. Both slots have some after a
 * switch: only the process that holds a socket tells whose it is. One that no process has accepted yet is nobody's.
 */
export type PidsBySlot = Readonly<Record<Slot, readonly number[]>>

/** How many a public address has, in whatever process: a cheap answer to whether it is worth looking closer. */
export const hasConnections = ({ port }: ListenAddress): boolean => countTcpConnections(port) > 0

export function countSteered({ port }: ListenAddress, pids: PidsBySlot): Record<Slot, number> {
  const counts = { blue: 0, green: 0 }
  const owners = ownersOf(pids)
  for (const { inode } of tcpConnections(port)) {
    const owner = owners.get(inode)
    if (owner !== undefined) counts[owner.slot] += 1
  }
  return counts
}

/** Without maps, which a kernel that no longer steers has not, nobody knows their age. */
export function steeredConnections(
  { port }: ListenAddress,
  pids: PidsBySlot,
  { maps, now }: { maps: MapFds | null; now: number },
): Connection[] {
  const owners = ownersOf(pids)
  const commands = new Map<number, string>()
  const commandOf = (pid: number): string => {
    const known = commands.get(pid) ?? processStat(pid)?.command ?? '?'
    commands.set(pid, known)
    return known
  }
  return tcpConnections(port).flatMap((one) => {
    const owner = owners.get(one.inode)
    if (owner === undefined) return []
    const bornAt = maps === null ? null : birthOf(one, maps)
    return [
      {
        id: idOf(one),
        slot: owner.slot,
        via: 'steering' as const,
        peer: { host: one.peerAddress, port: one.peerPort },
        ageMs: bornAt === null ? null : Math.max(0, now - bornAt),
        bytesIn: one.bytesReceived,
        bytesOut: one.bytesSent,
        process: { pid: owner.pid, command: commandOf(owner.pid) },
      },
    ]
  })
}

/** Resets those of `ids` that belong to one of the processes; returns how many were alive. */
export function closeSteered({ port }: ListenAddress, pids: PidsBySlot, ids: ReadonlySet<string>): number {
  const owners = ownersOf(pids)
  return tcpConnections(port).filter(
    (one) => owners.has(one.inode) && ids.has(idOf(one)) && resetConnection(one.socketId),
  ).length
}

const idOf = ({ cookie }: TcpConnection): string => `k${cookie.toString(36)}`

interface Owner {
  readonly slot: Slot
  readonly pid: number
}

/** By inode. */
function ownersOf(pids: PidsBySlot): Map<number, Owner> {
  const owners = new Map<number, Owner>()
  for (const slot of SLOTS)
    for (const pid of pids[slot])
      for (const inode of socketsOf(pid).values()) if (!owners.has(inode)) owners.set(inode, { slot, pid })
  return owners
}

/** Milliseconds of CLOCK_MONOTONIC; null if it was not steered, or so long ago that newer ones took its place. */
function birthOf({ localPort, socketId }: TcpConnection, maps: MapFds): number | null {
  const value = mapLookup(maps.births, birthKey(localPort, socketId), MAPS.births.valueBytes)
  return value === null ? null : Number(value.readBigUInt64LE(0)) / NS_PER_MS
}

/** As the program writes it: by the family of the packet, which is IPv4 also for an IPv6 socket that took an IPv4 client. */
function birthKey(localPort: number, { family, bytes }: SocketId): Buffer {
  const key = Buffer.alloc(BIRTH.bytes)
  const ip = bytes.subarray(PEER_IP, PEER_IP + 16)
  const isMapped = family !== AF_INET && ip.readUInt16BE(10) === 0xffff && ip.readBigUInt64BE(0) === 0n
  key.set(family === AF_INET ? ip.subarray(0, 4) : isMapped ? ip.subarray(12) : ip, BIRTH.ip)
  key.set(bytes.subarray(PEER_PORT, PEER_PORT + 2), BIRTH.remotePort)
  key.writeUInt32LE(localPort, BIRTH.localPort)
  return key
}
