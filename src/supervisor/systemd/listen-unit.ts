import { formatListen, type ListenAddress } from '../../core/definition.ts'
import { unitText } from '../../core/unit-syntax.ts'

export const listenSocketName = (app: string): string => `dorc-listen-${app}.socket`

/** The unit that the socket starts when a connection comes and no relay takes it. It does nothing, once. */
export const placeholderName = (app: string): string => `dorc-listen@${app}.service`

/** Which app a file in the directory of units is the public socket of; null for all others. */
export function appOfListenSocket(file: string): string | null {
  return /^dorc-listen-(.+)\.socket$/.exec(file)?.[1] ?? null
}

/** Connections that may wait while no relay accepts; the kernel's own limit is net.core.somaxconn. */
const BACKLOG = 4096

/**
 * The public port of an app, held by process 1. Service= must name a unit that is not running when the socket starts,
 * so it cannot be the relay; the relay gets the socket through Sockets=. Limits on triggers would close the port when
 * a relay crashes in a loop.
 */
export function listenSocketText(app: string, listen: ListenAddress): string {
  const isWildcard = listen.host === '0.0.0.0' || /^[0:]+$/.test(listen.host)
  return unitText([
    {
      name: 'Unit',
      assignments: [['Description', `Public port of ${app}`]],
    },
    {
      name: 'Socket',
      assignments: [
        ['ListenStream', formatListen(listen)],
        ['BindIPv6Only', 'both'],
        // At boot the address may come later than the socket.
        ...(isWildcard ? [] : [['FreeBind', 'yes'] as const]),
        ['FileDescriptorName', app],
        ['Service', placeholderName(app)],
        ['Backlog', String(BACKLOG)],
        ['NoDelay', 'yes'],
        ['TriggerLimitIntervalSec', '0'],
      ],
    },
    { name: 'Install', assignments: [['WantedBy', 'sockets.target']] },
  ])
}

export const RELAY_SOCKETS_FILE = 'dorc-relay@.service.d/sockets.conf'

/** Gives every relay all public sockets, each time that it starts. Without `After=` it would start with none at boot. */
export function relaySocketsText(apps: readonly string[]): string {
  const sockets = apps.map(listenSocketName)
  return unitText([
    { name: 'Unit', assignments: sockets.map((socket) => ['After', socket]) },
    { name: 'Service', assignments: sockets.map((socket) => ['Sockets', socket]) },
  ])
}
