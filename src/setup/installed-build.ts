import { constants, existsSync, readlinkSync } from 'node:fs'
import { chmod, copyFile, mkdir, open, readdir, rename, rm, stat, symlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DorcError, hasCode } from '../core/errors.ts'
import { buildIdOf } from '../platform/build-id.ts'
import { allProcesses } from '../platform/proc.ts'

/** Where the programs that root runs are: owned by root, whoever owns the checkout. */
export const INSTALL_DIR = '/usr/local/lib/dorc'
const CURRENT = 'current'

export interface BuildSource {
  /** The bundles. */
  readonly distDir: string
  readonly modulesDir: string
  readonly nodePath: string
}

export interface InstalledBuild {
  readonly id: string
  readonly nodePath: string
  programPath(program: 'dorcd' | 'dorc-relay'): string
}

/** The build that this program is part of, or of the checkout if it runs from sources. */
export function sourceOfThisBuild(): BuildSource {
  const here = import.meta.url
  const projectDir = fileURLToPath(new URL(here.endsWith('.ts') ? '../..' : '..', here))
  return {
    distDir: join(projectDir, 'dist'),
    modulesDir: join(projectDir, 'node_modules'),
    nodePath: process.execPath,
  }
}

/** Throws SETUP_FAILED if the bundles are not there. */
export function mustBeBuilt({ distDir }: BuildSource): void {
  const missing = ['dorcd.js', 'dorc-relay.js', 'dorc-copier.js'].find(
    (name) => !existsSync(join(distDir, name)),
  )
  if (missing !== undefined)
    throw new DorcError('SETUP_FAILED', `dorc is not built: "${join(distDir, missing)}" is missing`, {
      hint: 'Run: npm ci && npm run build',
    })
}

/**
 * Copies a build to a directory of its own under INSTALL_DIR and points `current` to it. A build that is there and
 * whole is left alone.
 */
export async function installBuild(source: BuildSource): Promise<InstalledBuild> {
  const id = buildIdOf(source.distDir)
  const directory = join(INSTALL_DIR, id)
  if (!(await isWhole(directory, id))) {
    const next = join(INSTALL_DIR, `.${id}.new`)
    await rm(next, { recursive: true, force: true })
    await mkdir(next, { recursive: true, mode: 0o755 })
    await copyTree(source.distDir, join(next, 'dist'))
    for (const name of await koffiPackages(source.modulesDir))
      await copyTree(join(source.modulesDir, name), join(next, 'node_modules', name))
    await copyOne(source.nodePath, join(next, 'node'), 0o755)
    await rm(directory, { recursive: true, force: true })
    await rename(next, directory)
  }
  await pointTo(id)
  return installedBuild(directory)
}

function installedBuild(directory: string): InstalledBuild {
  return {
    id: basename(directory),
    nodePath: join(directory, 'node'),
    programPath: (program) => join(directory, 'dist', `${program}.js`),
  }
}

/** Removes builds that no process runs from, but the current one. */
export async function removeOldBuilds(): Promise<void> {
  const used = new Set(allProcesses().map(({ pid }) => programOf(pid)))
  const current = basename(readlinkSync(join(INSTALL_DIR, CURRENT)))
  for (const name of await readdir(INSTALL_DIR)) {
    const isUsed = [...used].some((path) => path?.startsWith(`${join(INSTALL_DIR, name)}/`) === true)
    if (name !== CURRENT && name !== current && !isUsed)
      await rm(join(INSTALL_DIR, name), { recursive: true, force: true })
  }
}

function programOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/exe`)
  } catch (error) {
    // A thread of the kernel, or it has ended.
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ESRCH')) return null
    throw error
  }
}

async function isWhole(directory: string, id: string): Promise<boolean> {
  return existsSync(join(directory, 'node')) && buildIdOf(join(directory, 'dist')) === id
}

async function pointTo(id: string): Promise<void> {
  const next = join(INSTALL_DIR, `.${CURRENT}.new`)
  await rm(next, { force: true })
  await symlink(id, next)
  await rename(next, join(INSTALL_DIR, CURRENT))
}

/** koffi stays outside of the bundles, with its native part in a package for this architecture. */
async function koffiPackages(modulesDir: string): Promise<string[]> {
  const native = (await readdir(join(modulesDir, '@koromix'))).filter((name) => name.startsWith('koffi-'))
  return ['koffi', ...native.map((name) => join('@koromix', name))]
}

async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o755 })
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (entry.isDirectory()) await copyTree(source, target)
    else if (entry.isFile() && !entry.name.endsWith('.deb')) await copyOne(source, target, 0o644)
  }
}

/** On disk before it returns: a unit that starts at the next boot must find whole files. */
async function copyOne(from: string, to: string, mode: number): Promise<void> {
  if (!(await stat(from)).isFile()) throw new DorcError('SETUP_FAILED', `"${from}" is not a file`)
  await copyFile(from, to, constants.COPYFILE_FICLONE)
  await chmod(to, mode)
  const file = await open(to, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
