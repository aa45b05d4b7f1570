import { mkdir } from 'node:fs/promises'
import { DorcError } from '../core/errors.ts'
import { pathsUnder } from '../platform/paths.ts'
import { openSystemd, type Systemd } from '../supervisor/systemd/systemd.ts'
import { SystemdRelayHost } from '../supervisor/systemd/systemd-relay-host.ts'
import { UnitFiles } from '../supervisor/systemd/unit-files.ts'
import { GROUP, makeGroup, mustBeFit } from './host.ts'
import {
  installBuild,
  INSTALL_DIR,
  mustBeBuilt,
  removeOldBuilds,
  sourceOfThisBuild,
} from './installed-build.ts'
import { DAEMON_UNIT, ownUnits } from './units.ts'

export const UNIT_DIR = '/etc/systemd/system'

/** Told what was done, in the past tense, one sentence at a time. */
export type Report = (sentence: string) => void

/**
 * Installs dorc on this host and starts it, now and at boot: group, directories, programs, units, relay, daemon. Run
 * again it repairs or upgrades; the daemon is restarted if anything about it is new, and replaces relays of another
 * build by itself. Throws SETUP_FAILED.
 */
export async function setup(report: Report, source = sourceOfThisBuild()): Promise<void> {
  mustBeFit()
  mustBeBuilt(source)
  await makeGroup()
  report(`The group "${GROUP}" may operate apps`)
  const paths = pathsUnder('/')
  await mkdir(paths.appFiles, { recursive: true, mode: 0o755 })
  await mkdir(paths.state, { recursive: true, mode: 0o700 })
  const build = await installBuild(source)
  report(`Build ${build.id} is in ${INSTALL_DIR}`)

  await using systemd = await openSystemd()
  const hasChanged = await writeUnits(ownUnits(build))
  await systemd.reload()
  report(hasChanged ? `Units were written to ${UNIT_DIR}` : 'All units were as they should be')
  await startRelay(systemd)
  await startDaemon(systemd, hasChanged)
  report('The daemon and the relay run, now and at boot')
  await removeOldBuilds()
}

async function writeUnits(units: Readonly<Record<string, string>>): Promise<boolean> {
  const files = new UnitFiles(UNIT_DIR)
  let hasChanged = false
  for (const [name, text] of Object.entries(units)) if (await files.write(name, text)) hasChanged = true
  return hasChanged
}

/** Before the daemon, which would start one by itself as soon as it has a route. */
export async function startRelay(systemd: Systemd): Promise<void> {
  const host = new SystemdRelayHost({ systemd, unitDir: UNIT_DIR })
  if ((await host.running()).length === 0) await host.start(1)
}

export async function startDaemon(systemd: Systemd, hasChanged: boolean): Promise<void> {
  await systemd.enable(DAEMON_UNIT)
  const isActive = (await systemd.properties(DAEMON_UNIT)).text('ActiveState') === 'active'
  if (isActive && !hasChanged) return
  const result = await systemd.runJob('RestartUnit', DAEMON_UNIT)
  if (result === 'done') return
  throw new DorcError('SETUP_FAILED', 'The daemon did not start', {
    cause: new Error(`systemd's job ended with "${result}"`),
    hint: `Run: journalctl -u ${DAEMON_UNIT} -n 50`,
  })
}
