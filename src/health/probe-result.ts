/** What a probe found. A failure of the app is a result, never an exception. */
export interface ProbeResult {
  readonly ok: boolean
  /** For people: `HTTP 200 in 1.2 ms`, `connection refused`. */
  readonly detail: string
}

export const passed = (detail: string): ProbeResult => ({ ok: true, detail })
export const failed = (detail: string): ProbeResult => ({ ok: false, detail })

/** `1.2 ms`, `15 ms`, `2 s`. */
export function duration(ms: number): string {
  if (ms >= 1_000) return `${Number((ms / 1_000).toFixed(1))} s`
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`
}

/** A connection error in the words of people. */
export function connectFailure(error: Error & { code?: string }): string {
  if (error.code === 'ECONNREFUSED') return 'connection refused'
  return error.code === 'ECONNRESET' ? 'connection reset' : error.message
}
