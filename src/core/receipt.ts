import type { Slot } from './app.ts'

/** What dorc met as a client of the public address while it switched. */
export interface Receipt {
  readonly from: Slot
  readonly to: Slot
  /** `http`: a connection, a request and the beginning of its answer. `tcp`: a connection, and nothing more is known. */
  readonly tries: 'http' | 'tcp'
  readonly tried: number
  /** Refused, reset or closed before an answer, or no answer in time. */
  readonly failed: number
  readonly firstFailure: string | null
  /** The longest try, in ms. */
  readonly worstStallMs: number
  /** Connections that stay on `from`; null: they could not be counted. */
  readonly left: number | null
  /** The slot that took a connection made after the switch; null: none was seen to take it in time. */
  readonly reached: Slot | null
  /** When that connection stood, in ms of CLOCK_MONOTONIC, with fractions. */
  readonly reachedAt: number | null
}

/** One try at a public address. */
export interface Visit {
  /** `untried`: this host could not even begin it, or it was called off. */
  readonly outcome: 'answered' | 'failed' | 'untried'
  readonly tookMs: number
  /** For people, of a failure: `connection refused`. */
  readonly detail: string
}

export type Tally = Pick<Receipt, 'tried' | 'failed' | 'firstFailure' | 'worstStallMs'>

export const emptyTally: Tally = { tried: 0, failed: 0, firstFailure: null, worstStallMs: 0 }

export function addVisit(tally: Tally, { outcome, tookMs, detail }: Visit): Tally {
  if (outcome === 'untried') return tally
  const isFailure = outcome === 'failed'
  return {
    tried: tally.tried + 1,
    failed: tally.failed + (isFailure ? 1 : 0),
    firstFailure: tally.firstFailure ?? (isFailure ? detail : null),
    worstStallMs: Math.max(tally.worstStallMs, tookMs),
  }
}

/** New connections go to a slot that was not asked for: the one thing that a switch must never do. */
export function reachedWrongSlot({ reached, to }: Receipt): boolean {
  return reached !== null && reached !== to
}

/** `Switched to green: 214 tried, 0 failed, worst stall 12 ms, 3 connections left on blue`. */
export function receiptText(receipt: Receipt): string {
  const { from, to, tries, left, reached } = receipt
  const tallied = tallyText(receipt, tries === 'http' ? 'tried' : 'connections tried')
  const leftText =
    left === null
      ? `connections left on ${from} not counted`
      : `${left} ${left === 1 ? 'connection' : 'connections'} left on ${from}`
  if (reachedWrongSlot(receipt))
    return `Switched to ${to}, but a new connection reached ${reached}: ${tallied}, ${leftText}`
  const unseen = reached === null ? `; no new connection was seen in ${to} yet` : ''
  return `Switched to ${to}: ${tallied}, ${leftText}${unseen}`
}

/** `214 tried, 2 failed (first: connection refused), worst stall 12 ms`. */
export function tallyText({ tried, failed, firstFailure, worstStallMs }: Tally, noun = 'tried'): string {
  const first = firstFailure === null ? '' : ` (first: ${firstFailure})`
  return `${tried} ${noun}, ${failed} failed${first}, worst stall ${Math.ceil(worstStallMs)} ms`
}
