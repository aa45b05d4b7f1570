import {
  cpSync,
  lutimesSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  chmodSync,
  mkdirSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { buildIdOf } from '../../src/platform/build-id.ts'
import { SYSUSERS } from '../../src/setup/host.ts'
import { PACKAGE_DIR, PACKAGE_UNIT_DIR, packagedBuild } from '../../src/setup/package.ts'
import { ownUnits } from '../../src/setup/units.ts'
import { SCHEMA_VERSION } from '../../src/state/intent-file.ts'
import { bundle } from '../bundle.ts'
import { manualPage } from '../manual-page.ts'
import { type Architecture, nodeArchitecture, strip } from './architecture.ts'
import { changelog, control, copyright, overrides } from './texts.ts'

export interface PackageOptions {
  readonly version: string
  readonly architecture: Architecture
  readonly modules: string
  /** Seconds since 1970, of everything in the package. */
  readonly epoch: number
}

const MAINTAINER_SCRIPTS = ['preinst', 'postinst', 'prerm', 'postrm']

/** Fills a directory with what dpkg-deb makes the package from. */
export async function stagePackage(tree: string, options: PackageOptions): Promise<void> {
  const write = (path: string, content: string | Buffer, mode = 0o644): void => {
    const target = join(tree, path)
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, content)
    chmodSync(target, mode)
  }
  await stagePrograms(join(tree, PACKAGE_DIR), options)
  const build = packagedBuild(buildIdOf(join(tree, PACKAGE_DIR, 'dist')))
  write('usr/bin/dorc', `#!/bin/sh\nexec ${build.nodePath} ${PACKAGE_DIR}/dist/dorc.js "$@"\n`, 0o755)
  for (const [name, text] of Object.entries(ownUnits(build))) write(join(PACKAGE_UNIT_DIR, name), text)
  write('usr/lib/sysusers.d/dorc.conf', `${SYSUSERS}\n`)
  write('usr/lib/tmpfiles.d/dorc.conf', TMPFILES)
  stageDocuments(write, options)
  write('DEBIAN/control', control(options, installedKilobytes(tree)))
  for (const name of MAINTAINER_SCRIPTS) write(`DEBIAN/${name}`, maintainerScript(name), 0o755)
  settle(tree, options.epoch)
}

const TMPFILES = `d /etc/dorc 0755 root root
d /etc/dorc/apps 0755 root root
d /var/lib/dorc 0700 root root
`

async function stagePrograms(directory: string, options: PackageOptions): Promise<void> {
  const { version, modules, architecture } = options
  await bundle({ outdir: join(directory, 'dist'), version })
  const cpu = nodeArchitecture(architecture)
  const copy = (from: string, to: string): void => cpSync(join(modules, from), join(directory, to))
  copy(`node-linux-${cpu}/bin/node`, 'node')
  chmodSync(join(directory, 'node'), 0o755)
  strip(architecture, join(directory, 'node'))
  // Without the C++ that it was made from, documents, and what other C libraries need.
  for (const name of ['package.json', 'index.js', 'index.cjs'])
    copy(`koffi/${name}`, `node_modules/koffi/${name}`)
  for (const name of readdirSync(join(modules, 'koffi/src'), { recursive: true, encoding: 'utf8' }))
    if (/\.c?js$/.test(name)) copy(`koffi/src/${name}`, `node_modules/koffi/src/${name}`)
  for (const name of ['package.json', 'index.js', `linux_${cpu}/koffi.node`])
    copy(`@koromix/koffi-linux-${cpu}/${name}`, `node_modules/@koromix/koffi-linux-${cpu}/${name}`)
  strip(architecture, join(directory, `node_modules/@koromix/koffi-linux-${cpu}/linux_${cpu}/koffi.node`))
  // The bundles are ES modules.
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }\n')
}

function stageDocuments(
  write: (path: string, content: string | Buffer) => void,
  { version, modules, architecture, epoch }: PackageOptions,
): void {
  const compressed = (text: string | Buffer): Buffer => gzipSync(text, { level: 9 })
  const documents = 'usr/share/doc/dorc'
  write(`${documents}/changelog.gz`, compressed(changelog(version, epoch)))
  write(`${documents}/NEWS.gz`, compressed(readFileSync('CHANGELOG.md')))
  write(`${documents}/copyright`, copyright())
  const licence = readFileSync(join(modules, `node-linux-${nodeArchitecture(architecture)}`, 'LICENSE'))
  write(`${documents}/nodejs-licences.gz`, compressed(licence))
  for (const name of readdirSync('docs').filter((entry) => entry.endsWith('.md')))
    write(`${documents}/${name}`, readFileSync(join('docs', name)))
  write('usr/share/man/man1/dorc.1.gz', compressed(manualPage(version, epoch)))
  write('usr/share/lintian/overrides/dorc', overrides())
}

const maintainerScript = (name: string): string =>
  readFileSync(new URL(`maintainer/${name}`, import.meta.url), 'utf8').replaceAll(
    '@SCHEMA@',
    String(SCHEMA_VERSION),
  )

function installedKilobytes(tree: string): number {
  const files = readdirSync(tree, { recursive: true, encoding: 'utf8' })
  return files.reduce((sum, name) => sum + Math.ceil(statSync(join(tree, name)).size / 1024), 0)
}

/** One time and the usual modes for all, whatever umask this runs with. */
function settle(path: string, epoch: number): void {
  const stat = statSync(path)
  if (stat.isDirectory()) for (const name of readdirSync(path)) settle(join(path, name), epoch)
  chmodSync(path, stat.isDirectory() || (stat.mode & 0o100) !== 0 ? 0o755 : 0o644)
  lutimesSync(path, epoch, epoch)
}
