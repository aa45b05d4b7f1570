import { readFileSync } from 'node:fs'
import type { App } from '../core/app.ts'
import type { Definition } from '../core/definition.ts'
import { DorcError } from '../core/errors.ts'
import { describePortHolder } from '../platform/port-holder.ts'
import { tcpListeners } from '../platform/sock-diag.ts'

/** Throws PORT_TAKEN, naming the process, if somebody listens on a port that the app does not have already. */
export function refuseHeldPorts(definition: Definition, own: App | null): void {
  const wanted = portsOf(definition)
  const ours = new Set(own === null ? [] : Object.values(portsInUse(own)))
  for (const [key, port] of Object.entries(wanted)) {
    const holder = ours.has(port) ? null : describePortHolder(port)
    if (holder === null) continue
    throw new DorcError('PORT_TAKEN', `Port ${port} (${key}) is held by ${holder}`, {
      hint: 'Stop that process, or choose another port',
    })
  }
}

function portsOf({ listen, preview, slots }: Definition): Record<string, number> {
  const previewPort = preview === null ? {} : { preview: preview.port }
  return { listen: listen.port, ...previewPort, 'blue.port': slots.blue.port, 'green.port': slots.green.port }
}

/** The ports of what runs may differ from those of a definition that was loaded since. */
function portsInUse(app: App): Record<string, number> {
  const { blue, green } = app.slots
  const running = { runningBlue: blue?.definition.port ?? 0, runningGreen: green?.definition.port ?? 0 }
  return { ...portsOf(app.definition), ...running }
}

const FIRST_PROPOSED_PORT = 21_235
const PROPOSED_PORTS = 4

/** Ports to propose for slots: nobody listens there, no app has them, and no client socket is given them by chance. */
export function freeSlotPorts(apps: readonly App[]): number[] {
  const { first, last } = ephemeralRange()
  const taken = new Set(tcpListeners().map(({ port }) => port))
  for (const app of apps) for (const port of Object.values(portsInUse(app))) taken.add(port)
  const free: number[] = []
  for (let port = FIRST_PROPOSED_PORT; port < 65_536 && free.length < PROPOSED_PORTS; port += 1) {
    if (!taken.has(port) && (port < first || port > last)) free.push(port)
  }
  return free
}

/** ip(7), ip_local_port_range. */
function ephemeralRange(): { first: number; last: number } {
  const [first = 32_768, last = 60_999] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
    .split('\t')
    .map(Number)
  return { first, last }
}
