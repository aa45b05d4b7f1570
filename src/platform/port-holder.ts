import { userName } from './accounts.ts'
import { allProcesses, socketsOf } from './proc.ts'
import { tcpListeners } from './sock-diag.ts'

/**
 * Who listens on a TCP port of this host, for people: `nginx (pid 812, user www-data)`; null if nobody does. Without
 * the right to look into other users' processes it is only the user.
 */
export function describePortHolder(port: number): string | null {
  const listener = tcpListeners(port)[0]
  if (listener === undefined) return null
  const user = userName(listener.uid)
  const holder = allProcesses().find(({ pid }) => [...socketsOf(pid).values()].includes(listener.inode))
  return holder === undefined
    ? `a process of user ${user}`
    : `${holder.command} (pid ${holder.pid}, user ${user})`
}
