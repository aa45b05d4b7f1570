const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  sec: 1_000,
  min: 60_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Ms of `500ms`, `2s`, `1min`, `1h 30min`; a plain number is seconds. null: it is no duration. */
export function parseDuration(text: string | number): number | null {
  if (typeof text === 'number') return wholeMs(text * 1_000)
  const trimmed = text.trim()
  if (/^\d+(\.\d+)?$/.test(trimmed)) return wholeMs(Number(trimmed) * 1_000)
  if (!/^(\d+(\.\d+)?\s*[a-z]+\s*)+$/.test(trimmed)) return null
  let total = 0
  for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)\s*([a-z]+)/g)) {
    const unitMs = UNITS_MS[unit ?? '']
    if (unitMs === undefined) return null
    total += Number(amount) * unitMs
  }
  return wholeMs(total)
}

/** null for what is no time or more than a number can count exactly: JSON would make null of Infinity. */
function wholeMs(ms: number): number | null {
  const whole = Math.round(ms)
  return whole >= 0 && Number.isSafeInteger(whole) ? whole : null
}

/** The shortest way to write it: `1min 30s`. */
export function formatDuration(ms: number): string {
  const parts: string[] = []
  let rest = ms
  for (const unit of ['d', 'h', 'min', 's', 'ms'] as const) {
    const unitMs = UNITS_MS[unit] ?? 1
    const amount = Math.floor(rest / unitMs)
    if (amount > 0) parts.push(`${amount}${unit}`)
    rest -= amount * unitMs
  }
  return parts.length === 0 ? '0s' : parts.join(' ')
}
