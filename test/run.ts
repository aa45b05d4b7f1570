import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installPackages } from '../scripts/debian-packages.ts'

/**
 * `npm test`: sets up what the tiers need, runs them all, and says which it could not run and why. `npm run test:long`
 * runs whole what it takes a slice of: see extent.ts.
 */
interface Tier {
  readonly name: string
  readonly files: string
  readonly concurrency: number
  readonly needsRoot: boolean
  /** Runs only when it is named, with every extent whole. */
  readonly isLong?: boolean
}

const tiers: readonly Tier[] = [
  { name: 'unit', files: 'src/**/*.test.ts', concurrency: 2, needsRoot: false },
  { name: 'simulation', files: 'test/simulation/**/*.test.ts', concurrency: 2, needsRoot: false },
  { name: 'contract', files: 'test/contract/**/*.test.ts', concurrency: 1, needsRoot: false },
  // They take the ports that dorc proposes: alone, so that nobody else takes them first.
  { name: 'terminal', files: 'test/terminal/**/*.test.ts', concurrency: 1, needsRoot: false },
  { name: 'integration', files: 'test/integration/**/*.test.ts', concurrency: 3, needsRoot: false },
  { name: 'kernel', files: 'test/kernel/**/*.test.ts', concurrency: 2, needsRoot: true },
  { name: 'systemd', files: 'test/systemd/**/*.test.ts', concurrency: 2, needsRoot: true },
  {
    name: 'long',
    files: 'test/{contract,kernel,long}/**/*.test.ts',
    concurrency: 1,
    needsRoot: true,
    isLong: true,
  },
]

interface Result {
  readonly tier: Tier
  readonly pass: number
  readonly fail: number
  readonly skipped: number
  readonly seconds: number
  readonly notRun: string | null
}

/** Far beyond what any tier takes on a slow machine: a tier that hangs fails, and names the file that did not end. */
const HANGS_AFTER_MS = 20 * 60_000

const isRoot = process.getuid?.() === 0
const isCi = process.env['CI'] === 'true'
const node = process.execPath
const only = process.argv.slice(2)

const missing = installPackages()
const built = spawnSync(node, ['scripts/build.ts'], { stdio: 'inherit' })
if (built.status !== 0) process.exit(1)

const results: Result[] = []
for (const tier of tiers) {
  if (only.length > 0 ? !only.includes(tier.name) : tier.isLong === true) continue
  results.push(await runTier(tier))
}
summarise(results)

async function runTier(tier: Tier): Promise<Result> {
  console.log(`\n── ${tier.name} ──`)
  const nothing = { tier, pass: 0, fail: 0, skipped: 0, seconds: 0 }
  if (tier.needsRoot && !isRoot) return { ...nothing, notRun: 'needs root' }
  if (tier.needsRoot && missing.length > 0)
    return { ...nothing, notRun: `Debian packages are missing: ${missing.join(' ')}` }
  const dir = mkdtempSync(join(tmpdir(), 'dorc-test-run-'))
  const tap = join(dir, 'tap')
  const startedAt = process.hrtime.bigint()
  const status = await new Promise<number>((resolve) => {
    const argv = [
      '--test',
      '--no-warnings',
      `--test-concurrency=${tier.concurrency}`,
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      '--test-reporter=tap',
      `--test-reporter-destination=${tap}`,
      tier.files,
    ]
    const env = {
      ...process.env,
      DORC_TEST_BUILT: '1',
      ...(tier.isLong === true ? { DORC_TEST_LONG: '1' } : {}),
    }
    const child = spawn(node, argv, { stdio: ['ignore', 'inherit', 'inherit'], timeout: HANGS_AFTER_MS, env })
    child.on('close', (code) => resolve(code ?? 1))
  })
  const text = readFileSync(tap, 'utf8')
  rmSync(dir, { recursive: true, force: true })
  const count = (word: string): number => Number(new RegExp(`^# ${word} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
  const fail = count('fail') + count('cancelled')
  return {
    tier,
    pass: count('pass'),
    fail: status !== 0 && fail === 0 ? 1 : fail,
    skipped: count('skipped') + count('todo'),
    seconds: Number((process.hrtime.bigint() - startedAt) / 1_000_000_000n),
    notRun: count('tests') === 0 ? 'has no test' : null,
  }
}

function summarise(all: readonly Result[]): void {
  console.log('\n── summary ──')
  for (const { tier, pass, fail, skipped, seconds, notRun } of all) {
    const what =
      notRun === null
        ? `${pass} passed, ${fail} failed, ${skipped} skipped, ${seconds} s`
        : `NOT RUN: ${notRun}`
    console.log(`${tier.name.padEnd(12)}${what}`)
  }
  const sum = (key: 'pass' | 'fail' | 'skipped'): number =>
    all.reduce((total, result) => total + result[key], 0)
  const notRun = all.filter((result) => result.notRun !== null)
  const isIncomplete = isCi && (notRun.length > 0 || sum('skipped') > 0)
  if (isIncomplete) console.log('With CI=true every tier has to run and nothing may be skipped')
  console.log(`${sum('pass')} passed, ${sum('fail')} failed, ${sum('skipped')} skipped`)
  process.exit(sum('fail') > 0 || isIncomplete ? 1 : 0)
}
