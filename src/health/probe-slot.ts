import type { Probe } from '../core/definition.ts'
import type { SlotProcess } from '../core/slot-process.ts'
import { type PortListener, portListener } from '../platform/port-listener.ts'
import { descendantsOf } from '../platform/proc.ts'
import { probeCommand } from './command-probe.ts'
import { probeHttp } from './http-probe.ts'
import { describeListener } from './listener.ts'
import { failed, type ProbeResult } from './probe-result.ts'
import { probeTcp } from './tcp-probe.ts'

export interface ProbedSlot {
  readonly process: SlotProcess
  readonly probe: Probe
  /** The unit's processes; what they have forked since counts, too. */
  readonly pids: readonly number[]
}

/** What `auto` found the app to speak; null until something told. */
export type Speaks = 'http' | 'tcp' | null

/** One probe of a slot. Nothing is sent unless the unit itself holds the port. */
export async function probeSlot(
  slot: ProbedSlot,
  speaks: Speaks,
): Promise<{ result: ProbeResult; speaks: Speaks }> {
  const { port } = slot.process
  const known = portListener(slot.pids, port)
  const listener = known.kind === 'owned' ? known : portListener(withDescendants(slot.pids), port)
  if (listener.kind !== 'owned') return { result: failed(describeListener(listener, port)), speaks }
  const acceptQueue = (): number => {
    const now = portListener(withDescendants(slot.pids), port)
    return now.kind === 'owned' ? now.acceptQueue : 0
  }
  return await probeOwned(slot, speaks, { listener, acceptQueue })
}

function withDescendants(pids: readonly number[]): number[] {
  return [...new Set(pids.flatMap((pid) => [pid, ...descendantsOf(pid)]))]
}

type Owned = Extract<PortListener, { kind: 'owned' }>

async function probeOwned(
  { process, probe }: ProbedSlot,
  speaks: Speaks,
  { listener, acceptQueue }: { listener: Owned; acceptQueue: () => number },
): Promise<{ result: ProbeResult; speaks: Speaks }> {
  const { port, workingDir, environment } = process
  const { timeoutMs } = probe
  const address = { host: listener.host, port, timeoutMs }
  switch (probe.kind) {
    case 'http': {
      const { path, expectedStatus, host: hostHeader } = probe
      const { ok, detail } = await probeHttp({ ...address, path, expectedStatus, hostHeader })
      return { result: { ok, detail }, speaks }
    }
    case 'tcp':
      return { result: await probeTcp({ ...address, acceptQueue }), speaks }
    case 'command': {
      const { command } = probe
      const result = await probeCommand({ command, workingDir, environment, pid: listener.pid, timeoutMs })
      return { result, speaks }
    }
    case 'auto':
      return await probeAuto({ ...address, acceptQueue }, speaks)
    default:
      return probe satisfies never
  }
}

/**
 * http `/`; tcp if what comes back is no HTTP, or if nothing comes although the app accepts (a program that waits for
 * its client's first line). An app that has answered over HTTP once is held to it: a hang must not count as tcp.
 */
async function probeAuto(
  address: Parameters<typeof probeTcp>[0],
  speaks: Speaks,
): Promise<{ result: ProbeResult; speaks: Speaks }> {
  if (speaks !== 'tcp') {
    const { host, port, timeoutMs } = address
    const request = { host, port, path: '/', expectedStatus: null, hostHeader: null, timeoutMs }
    const { ok, detail, speaksHttp } = await probeHttp(request)
    const isSilent = !ok && speaksHttp === null && detail.startsWith('no answer')
    if (speaksHttp === true || speaks === 'http')
      return { result: { ok, detail }, speaks: speaksHttp === true ? 'http' : speaks }
    if (speaksHttp === null && !isSilent) return { result: { ok, detail }, speaks }
  }
  const { ok, detail } = await probeTcp(address)
  return { result: { ok, detail: `${detail} (does not speak HTTP)` }, speaks: ok ? 'tcp' : speaks }
}
