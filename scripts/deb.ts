import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { VERSION } from '../src/platform/version.ts'
import { type Architecture, architectures, modulesFor } from './deb/architecture.ts'
import { stagePackage } from './deb/stage.ts'
import { run } from './deb/run.ts'

/**
 * `npm run deb` writes dist/dorc_VERSION_ARCH.deb. The same commit gives the same bytes: all times are those of the
 * commit, and no order depends on the file system.
 */
const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: process.arch === 'arm64' ? 'arm64' : 'amd64' },
    out: { type: 'string', default: 'dist' },
    /** Another one than that of the sources, for tests of an upgrade. */
    version: { type: 'string', default: VERSION },
    /** Larger and sooner there, for tests. */
    quick: { type: 'boolean', default: false },
  },
})

const root = mkdtempSync(join(tmpdir(), 'dorc-deb-'))
try {
  await buildPackage()
} finally {
  rmSync(root, { recursive: true, force: true })
}

async function buildPackage(): Promise<void> {
  const architecture = mustBeKnown(values.arch)
  const epoch = Number(process.env['SOURCE_DATE_EPOCH'] ?? commitTime())
  const tree = join(root, 'tree')
  const modules = modulesFor(architecture, join(root, 'modules'))
  await stagePackage(tree, { version: values.version, architecture, modules, epoch })
  mkdirSync(values.out, { recursive: true })
  const file = join(values.out, `dorc_${values.version}_${architecture}.deb`)
  const compression = values.quick ? ['-Zgzip', '-z1'] : ['-Zxz', '-z9', '--threads-max=1']
  run('dpkg-deb', ['--root-owner-group', ...compression, '--build', tree, file], {
    SOURCE_DATE_EPOCH: String(epoch),
  })
  console.log(`${file}: ${(statSync(file).size / 1e6).toFixed(1)} MB`)
}

function mustBeKnown(name: string): Architecture {
  const found = architectures.find((known) => known === name)
  if (found === undefined) throw new Error(`--arch must be one of ${architectures.join(', ')}`)
  return found
}

/** Seconds since 1970. */
function commitTime(): string {
  const { stdout, status } = spawnSync('git', ['log', '-1', '--format=%ct'], { encoding: 'utf8' })
  if (status !== 0) throw new Error('Not in a git repository: set SOURCE_DATE_EPOCH')
  return stdout.trim()
}
