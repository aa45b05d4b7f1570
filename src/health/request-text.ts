import type { ProbedSlot, Speaks } from './probe-slot.ts'

/** What a probe asks: `GET /healthz on port 21235`, as a person would type it. */
export function requestText({ process: { port }, probe }: ProbedSlot, speaks: Speaks): string {
  switch (probe.kind) {
    case 'http':
      return `GET ${probe.path} on port ${port}${probe.host === null ? '' : ` (Host: ${probe.host})`}`
    case 'tcp':
      return `connect to port ${port}`
    case 'command':
      return probe.command.join(' ')
    case 'auto':
      return speaks === 'tcp' ? `connect to port ${port}` : `GET / on port ${port}`
    default:
      return probe satisfies never
  }
}
