import type { Probe } from '../core/definition.ts'
import type { VisitRequest } from '../platform/visit.ts'
import type { Speaks } from './probe-slot.ts'

/** What to ask an app through its public address, as its probe asks; null: it does not speak HTTP, as far as is known. */
export function visitRequest(probe: Probe, speaks: Speaks): VisitRequest | null {
  switch (probe.kind) {
    case 'http':
      return { path: probe.path, host: probe.host }
    case 'auto':
      return speaks === 'http' ? { path: '/', host: null } : null
    case 'tcp':
    case 'command':
      return null
    default:
      return probe satisfies never
  }
}
