import type { Listener } from '../core/app.ts'
import { type PortListener, portListener } from '../platform/port-listener.ts'

/** Whether the slot's port is held by one of its own processes. Throws only if the kernel does not answer. */
export function listenerOf(pids: readonly number[], port: number): Listener {
  const found = portListener(pids, port)
  if (found.kind === 'none') return { state: 'none' }
  if (found.kind === 'foreign') return { state: 'foreign', detail: describeListener(found, port) }
  return { state: 'owned', host: found.host, port }
}

/** `port 21236 is held by pid 4711 (nginx, user www-data)`, and the like. */
export function describeListener(found: PortListener, port: number): string {
  switch (found.kind) {
    case 'owned':
      return `pid ${found.pid} listens on ${found.host} port ${port}`
    case 'foreign':
      return found.pid === null
        ? `port ${port} is held by a process of user ${found.user}`
        : `port ${port} is held by pid ${found.pid} (${found.command ?? '?'}, user ${found.user})`
    case 'none':
      return found.others.length === 0
        ? `nothing listens on port ${port}`
        : `nothing listens on port ${port}; the unit listens on ${found.others.join(', ')}`
    default:
      return found satisfies never
  }
}
