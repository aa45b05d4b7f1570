import { spawnSync } from 'node:child_process'

/** Runs a tool of the build; returns what it printed. Throws unless it succeeds. */
export function run(program: string, argv: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const { status, error, stdout, stderr } = spawnSync(program, argv, {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  if (error !== undefined) throw new Error(`Cannot run ${program}`, { cause: error })
  if (status !== 0) throw new Error(`${program} ${argv.join(' ')} ended with ${status}:\n${stdout}${stderr}`)
  return stdout
}
