import { existsSync } from 'node:fs'
import { DorcError } from '../core/errors.ts'
import { runCommand } from '../platform/run-command.ts'

export const GROUP = 'dorc'
/** For sysusers.d(5): the groups of dorc. */
export const SYSUSERS = `g ${GROUP} -`
const COMMAND_TIMEOUT_MS = 30_000

/** Throws SETUP_FAILED with what to do unless dorc can be set up on this host. */
export function mustBeFit(): void {
  if (process.geteuid?.() !== 0)
    throw new DorcError('SETUP_FAILED', 'Setting dorc up needs root', { hint: 'Run: sudo dorc setup' })
  // sd_booted(3)
  if (!existsSync('/run/systemd/system'))
    throw new DorcError('SETUP_FAILED', 'This host does not run systemd', {
      hint: 'Without it, run: dorc start-daemon --embedded --root DIR',
    })
  if (!existsSync('/run/dbus/system_bus_socket'))
    throw new DorcError('SETUP_FAILED', 'There is no system bus to reach systemd by', {
      hint: 'Install it, on Debian and Ubuntu with: apt install dbus',
    })
}

/** The group whose members may operate apps; does nothing if it exists. */
export async function makeGroup(): Promise<void> {
  await mustRun(['systemd-sysusers', '--inline', SYSUSERS])
}

export async function removeGroup(): Promise<void> {
  await mustRun(['groupdel', '--force', GROUP])
}

async function mustRun(argv: readonly string[]): Promise<void> {
  const environment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' }
  const { isSuccess, outcome, lastLine } = await runCommand({
    argv,
    cwd: '/',
    environment,
    account: null,
    timeoutMs: COMMAND_TIMEOUT_MS,
  })
  if (!isSuccess)
    throw new DorcError('SETUP_FAILED', `Cannot run ${argv.join(' ')}`, {
      cause: new Error(lastLine === '' ? outcome : lastLine),
    })
}
