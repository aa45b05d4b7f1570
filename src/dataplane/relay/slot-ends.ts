import type { Slot } from '../../core/app.ts'
import { portsOf } from '../../platform/port-listener.ts'
import { processStat, socketsOf } from '../../platform/proc.ts'
import { tcpConnections } from '../../platform/sock-diag.ts'
import type { Connection, SlotProcesses } from '../dataplane.ts'
import type { RelayedConnection } from './control-protocol.ts'

/**
 * A relayed connection is two: the client's with the relay and the relay's with the slot. The slot's end of the second is a
 * socket on one of the slot's ports whose peer is the relay's port; who holds it is the process that serves the client.
 */
export async function withProcesses(
  relayed: readonly RelayedConnection[],
  app: string,
  slotProcesses: SlotProcesses,
): Promise<Connection[]> {
  if (relayed.length === 0) return []
  const [blue, green] = await Promise.all([slotProcesses(app, 'blue'), slotProcesses(app, 'green')])
  const inodes = new Map([...portsOf(blue), ...portsOf(green)].flatMap(peersOnPort))
  const holders: Record<Slot, Map<number, Connection['process']>> = {
    blue: holdersOf(blue),
    green: holdersOf(green),
  }
  return relayed.map(({ upstreamPort, ...one }) => {
    const process = holders[one.slot].get(inodes.get(upstreamPort) ?? -1) ?? null
    return { ...one, via: 'relay' as const, process }
  })
}

/** Inodes of the sockets on a port, by the port of their peer. */
function peersOnPort(port: number): [number, number][] {
  return tcpConnections(port).map(({ peerPort, inode }) => [peerPort, inode])
}

/** By the inode of each socket that they have open. */
function holdersOf(pids: readonly number[]): Map<number, Connection['process']> {
  const holders = new Map<number, Connection['process']>()
  for (const pid of pids) {
    const holder = { pid, command: processStat(pid)?.command ?? '?' }
    for (const inode of socketsOf(pid).values()) if (!holders.has(inode)) holders.set(inode, holder)
  }
  return holders
}
