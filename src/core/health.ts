import type { MonotonicMs, ObservedSlot, SlotIntent } from './app.ts'

/** Passing means: what we want runs, and its newest probe of this start passed. Enough to be given connections. */
export function isPassing(slot: ObservedSlot, intent: SlotIntent | null): boolean {
  return (
    intent !== null &&
    intent.run === 'running' &&
    slot.installed === intent.incarnation &&
    slot.unit === 'active' &&
    slot.health.state === 'passing'
  )
}

/** Healthy means: passing without a break for long enough to trust a release that never ran here before. */
export function isHealthy(
  slot: ObservedSlot,
  intent: SlotIntent | null,
  { minHealthyMs, now }: { minHealthyMs: number; now: MonotonicMs },
): boolean {
  return isPassing(slot, intent) && slot.health.state === 'passing' && now - slot.health.since >= minHealthyMs
}
