import { spawnSync } from 'node:child_process'
import { median, type Row } from './row.ts'

/** How long commands take from nothing to their end, in turns. */
export function measureStartUp(dorc: string, rounds: number): Row[] {
  const commands: readonly (readonly [string, ...string[]])[] = [
    [process.execPath, '-e', '0'],
    [dorc, '--version'],
  ]
  const times = new Map<string, number[]>()
  for (let round = 0; round < rounds; round += 1) {
    for (const [program, ...argv] of commands) {
      const startedAt = performance.now()
      const { status } = spawnSync(program, argv, { stdio: 'ignore' })
      if (status !== 0) throw new Error(`${program} ${argv.join(' ')} ended with ${status}`)
      times.set(program, [...(times.get(program) ?? []), performance.now() - startedAt])
    }
  }
  const names = ['node -e 0', 'dorc --version']
  return commands.map(([program], index) => ({
    case: 'start-up',
    path: names[index] ?? program,
    value: median(times.get(program) ?? []),
    unit: 'ms',
  }))
}
