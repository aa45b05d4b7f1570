import { fileURLToPath } from 'node:url'

const sources = {
  dorcd: '../daemon/main.ts',
  'dorc-relay': '../dataplane/relay/main.ts',
  'dorc-copier': '../releases/copier-main.ts',
  'dorc-keeper': '../supervisor/embedded/keeper-main.ts',
} as const

export type Program = keyof typeof sources

/** The argv that runs one of dorc's own programs with this very runtime: from dist/ when bundled, else from src/. */
export function programArgv(program: Program): [string, ...string[]] {
  const here = import.meta.url
  const url = here.endsWith('.ts') ? new URL(sources[program], here) : new URL(`./${program}.js`, here)
  return [process.execPath, ...runtimeOptions[program], fileURLToPath(url)]
}

/**
 * A daemon that mostly waits needs no room for a fast-growing heap, and no optimising compiler that works beside it: measured
 * with one app, 75 MB of memory instead of 96.
 */
const FRUGAL = ['--max-semi-space-size=1', '--optimize-for-size', '--no-opt', '--v8-pool-size=1']

export const runtimeOptions: Readonly<Record<Program, readonly string[]>> = {
  dorcd: FRUGAL,
  'dorc-relay': [],
  'dorc-copier': [],
  'dorc-keeper': ['--max-semi-space-size=1'],
}
