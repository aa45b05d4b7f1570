import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { openSystemd } from '../supervisor/systemd/systemd.ts'
import { UnitFiles } from '../supervisor/systemd/unit-files.ts'
import { mustBeFit } from './host.ts'
import type { InstalledBuild } from './installed-build.ts'
import { removeSetup } from './remove-setup.ts'
import { type Report, startDaemon, startRelay, UNIT_DIR } from './setup.ts'
import { BPF_MOUNT, DAEMON_UNIT, PLACEHOLDER_TEMPLATE, RELAY_TEMPLATE } from './units.ts'

/** Where the Debian package keeps the programs, the runtime among them. */
export const PACKAGE_DIR = '/usr/lib/dorc'
/** Where packages keep units (systemd.unit(5)). */
export const PACKAGE_UNIT_DIR = '/usr/lib/systemd/system'

/** True on a host where the package is installed: there the package does what `dorc setup` does elsewhere. */
export function isPackaged(): boolean {
  return existsSync(join(PACKAGE_UNIT_DIR, DAEMON_UNIT))
}

export function packagedBuild(id: string): InstalledBuild {
  return {
    id,
    nodePath: join(PACKAGE_DIR, 'node'),
    programPath: (program) => join(PACKAGE_DIR, 'dist', `${program}.js`),
  }
}

/**
 * After the package's files, group and directories are in place: starts relay and daemon, now and at boot, or restarts the
 * daemon, which replaces a relay of another build without a connection lost. Throws SETUP_FAILED.
 */
export async function startPackaged(report: Report): Promise<void> {
  mustBeFit()
  await using systemd = await openSystemd()
  // Its link may lead to a unit of an earlier `dorc setup`.
  await systemd.disable(DAEMON_UNIT)
  await removeUnitsOfSetup()
  await systemd.reload()
  await startRelay(systemd)
  await startDaemon(systemd, true)
  report('The daemon and the relay run, now and at boot')
}

/** They would go before those of the package. */
async function removeUnitsOfSetup(): Promise<void> {
  const files = new UnitFiles(UNIT_DIR)
  for (const name of [DAEMON_UNIT, BPF_MOUNT, RELAY_TEMPLATE, PLACEHOLDER_TEMPLATE]) await files.remove(name)
}

/** Before the package's files go: stops daemon, relays and apps. Definitions, releases and data stay. */
export async function stopPackaged(report: Report): Promise<void> {
  await removeSetup(report, { purge: false })
}
