import { resolve } from 'node:path'
import { DorcError } from '../../core/errors.ts'
import { programArgv } from '../../platform/programs.ts'
import type { CommonFlags } from '../session.ts'

export interface StartDaemonFlags extends CommonFlags {
  readonly embedded: boolean | undefined
}

/** Becomes the daemon: same process, so that signals and exit status are the daemon's own. */
export function startDaemon(flags: StartDaemonFlags): void {
  const root = resolve(flags.root ?? process.env['DORC_ROOT'] ?? '/')
  if (flags.embedded && root === '/') {
    throw new DorcError('USAGE', 'An embedded daemon needs a root of its own', {
      hint: 'Name a directory: dorc start-daemon --embedded --root DIR',
    })
  }
  if (!flags.embedded && root !== '/') {
    throw new DorcError('USAGE', `Only an embedded daemon lives under "${root}"`, {
      hint: `Run: dorc start-daemon --embedded --root ${root}`,
    })
  }
  const argv = [...programArgv('dorcd'), ...(flags.embedded ? ['--embedded', '--root', root] : [])]
  if (flags.embedded) process.stderr.write(`In another terminal: export DORC_ROOT=${root}\n`)
  const [program = ''] = argv
  process.execve?.(program, argv, process.env)
}
