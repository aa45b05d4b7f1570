import { fileURLToPath } from 'node:url'

/**
 * What runs the CLI, and with it the daemon, relays and keepers: under `npm test` the programs that it has just built, as users
 * have them, which start several times as fast; for a test file that is run by itself the sources, which are never stale.
 */
export const CLI_PROGRAM = fileURLToPath(
  new URL(process.env['DORC_TEST_BUILT'] === '1' ? '../dist/dorc.js' : '../src/cli/main.ts', import.meta.url),
)
