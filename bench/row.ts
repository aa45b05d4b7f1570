/** One number of the bench; `--json` writes them as they are. */
export interface Row {
  readonly case: string
  readonly path: string
  readonly value: number
  readonly unit: string
  readonly p50Ms?: number
  readonly p99Ms?: number
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  if (low === undefined || high === undefined) throw new Error('No values to take the median of')
  return (low + high) / 2
}

/** A table per case, with each path's share of `direct`. */
export function formatRows(rows: readonly Row[]): string {
  const lines: string[] = []
  for (const name of new Set(rows.map((row) => row.case))) {
    const same = rows.filter((row) => row.case === name)
    const direct = same.find((row) => row.path === 'direct')
    lines.push('', name)
    for (const row of same) {
      const share =
        direct === undefined || direct === row ? '' : `${(row.value / direct.value).toFixed(2)} of direct`
      const latency =
        row.p99Ms === undefined ? '' : `p50 ${row.p50Ms?.toFixed(2)} ms, p99 ${row.p99Ms.toFixed(2)} ms`
      lines.push(
        `  ${row.path.padEnd(16)}${formatValue(row).padStart(16)}  ${share.padEnd(16)}${latency}`.trimEnd(),
      )
    }
  }
  return lines.join('\n')
}

function formatValue({ value, unit }: Row): string {
  const digits = value >= 1_000 ? 0 : value >= 10 ? 1 : 2
  return `${value.toFixed(digits).replace(/\B(?=(\d{3})+$)/g, ' ')} ${unit}`
}
