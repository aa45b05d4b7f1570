import { copyFileSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './run.ts'

export const architectures = ['amd64', 'arm64'] as const
/** As Debian names it. */
export type Architecture = (typeof architectures)[number]

const nodeNames = { amd64: 'x64', arm64: 'arm64' } as const
const gnuNames = { amd64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' } as const

/** As Node and npm name it. */
export const nodeArchitecture = (architecture: Architecture): 'x64' | 'arm64' => nodeNames[architecture]

/** node_modules with the parts of this architecture: the project's, or for another one a copy from the same lockfile. */
export function modulesFor(architecture: Architecture, directory: string): string {
  const cpu = nodeNames[architecture]
  if (existsSync(join('node_modules', `node-linux-${cpu}`))) return 'node_modules'
  mkdirSync(directory, { recursive: true })
  for (const name of ['package.json', 'package-lock.json']) copyFileSync(name, join(directory, name))
  run('npm', [
    'ci',
    `--prefix=${directory}`,
    `--cpu=${cpu}`,
    '--os=linux',
    '--omit=dev',
    '--ignore-scripts',
    '--no-audit',
  ])
  return join(directory, 'node_modules')
}

/** Takes out what only debuggers read: a seventh of the runtime. */
export function strip(architecture: Architecture, path: string): void {
  const isOwn = nodeNames[architecture] === process.arch
  const program = isOwn ? 'strip' : `${gnuNames[architecture]}-strip`
  try {
    run(program, ['--strip-unneeded', '--remove-section=.comment', path])
  } catch (cause) {
    const name = isOwn ? 'binutils' : `binutils-${gnuNames[architecture].replace('_', '-')}`
    throw new Error(`Cannot strip ${path}; is the package ${name} installed?`, { cause })
  }
}
