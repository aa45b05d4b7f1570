import { existsSync, lstatSync } from 'node:fs'
import { readdir, readlink, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describeError, DorcError } from '../core/errors.ts'
import { pathsUnder } from '../platform/paths.ts'
import { appOfListenSocket, placeholderName, RELAY_SOCKETS_FILE } from '../supervisor/systemd/listen-unit.ts'
import { openSystemd, type Systemd } from '../supervisor/systemd/systemd.ts'
import { RELAY_RUN_DIR, relayUnitName, SystemdRelayHost } from '../supervisor/systemd/systemd-relay-host.ts'
import { UnitFiles } from '../supervisor/systemd/unit-files.ts'
import { GROUP, mustBeFit, removeGroup } from './host.ts'
import { INSTALL_DIR } from './installed-build.ts'
import { type Report, UNIT_DIR } from './setup.ts'
import { BPF_MOUNT, DAEMON_UNIT, PLACEHOLDER_TEMPLATE, RELAY_TEMPLATE } from './units.ts'

const SLOT_UNIT = /^(?:blue|green)-.+\.service$/

/**
 * Takes dorc off this host: stops daemon, relays and apps, removes units and programs. Definitions, releases and the
 * apps' own data stay unless `purge`; `setup` brings the apps back from them. Units that people changed are left, and
 * named. Throws SETUP_FAILED.
 */
export async function removeSetup(report: Report, { purge }: { readonly purge: boolean }): Promise<void> {
  mustBeFit()
  await using systemd = await openSystemd()
  const files = new UnitFiles(UNIT_DIR)
  const names = await files.list()
  await stopAndDisable(systemd, DAEMON_UNIT)
  await stop(systemd, BPF_MOUNT)
  const sockets = names.filter((name) => appOfListenSocket(name) !== null)
  for (const socket of sockets) await stopAndDisable(systemd, socket)
  for (const app of sockets.map(appOfListenSocket))
    if (app !== null) await stop(systemd, placeholderName(app))
  await stopRelays(systemd)
  const slots = await files.ours(names.filter((name) => SLOT_UNIT.test(name)))
  for (const slot of slots) await stopAndDisable(systemd, slot)
  report('The daemon, the relay and all apps were stopped')

  const own = [DAEMON_UNIT, BPF_MOUNT, RELAY_TEMPLATE, PLACEHOLDER_TEMPLATE, RELAY_SOCKETS_FILE]
  for (const name of [...slots, ...sockets, ...own]) await removeUnit(files, name, report)
  await systemd.reload()
  await rm(INSTALL_DIR, { recursive: true, force: true })
  const paths = pathsUnder('/')
  for (const path of [paths.run, RELAY_RUN_DIR]) await rm(path, { recursive: true, force: true })
  report("dorc's units and programs were removed")
  if (purge) await purgeData(report)
  else report(`Left as they are: /etc/dorc, ${paths.state}, the data of the apps, the group "${GROUP}"`)
}

async function stopRelays(systemd: Systemd): Promise<void> {
  const host = new SystemdRelayHost({ systemd, unitDir: UNIT_DIR })
  for (const { generation } of await host.running()) {
    // Told once, it would wait for its last connection; the stop job tells it again.
    await systemd.terminate(relayUnitName(generation))
    await stopAndDisable(systemd, relayUnitName(generation))
  }
}

async function stopAndDisable(systemd: Systemd, unit: string): Promise<void> {
  await systemd.disable(unit)
  await stop(systemd, unit)
}

async function stop(systemd: Systemd, unit: string): Promise<void> {
  const state = (await systemd.properties(unit)).text('ActiveState')
  if (state !== 'inactive' && state !== 'failed') await systemd.runJob('StopUnit', unit)
  await systemd.resetFailed(unit)
}

async function removeUnit(files: UnitFiles, name: string, report: Report): Promise<void> {
  try {
    await files.remove(name)
  } catch (error) {
    if (!(error instanceof DorcError)) throw error
    report(`Left: ${describeError(error)}`)
  }
}

async function purgeData(report: Report): Promise<void> {
  for (const path of ['/etc/dorc', pathsUnder('/').state, ...(await stateDirectories())])
    await rm(path, { recursive: true, force: true })
  await removeGroup()
  report('Definitions, releases, data of the apps and the group were deleted')
}

/** What StateDirectory= made for apps: a directory, or for a dynamic user a link into /var/lib/private. */
async function stateDirectories(): Promise<string[]> {
  const found: string[] = []
  for (const name of (await readdir('/var/lib')).filter((entry) => entry.startsWith('dorc-'))) {
    const path = join('/var/lib', name)
    if (lstatSync(path).isSymbolicLink()) found.push(join('/var/lib', await readlink(path)))
    found.push(path)
  }
  return found.filter((path) => existsSync(path))
}
