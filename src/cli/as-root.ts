import { spawnSync } from 'node:child_process'
import { DorcError } from '../core/errors.ts'
import type { Session } from './session.ts'

/**
 * What defines what runs on the host needs root. On a terminal the same command is run again through sudo, and
 * true is returned when that has ended: there is nothing left to do. Throws FORBIDDEN where nobody can be asked.
 */
export function wasDoneAsRoot({ isEmbedded }: Pick<Session, 'isEmbedded'>): boolean {
  if (isEmbedded || process.geteuid?.() === 0) return false
  const [, , ...words] = process.argv
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new DorcError('FORBIDDEN', `"dorc ${words[0] ?? ''}" needs root`, {
      hint: `Run: sudo dorc ${words.join(' ')}`,
    })
  }
  const { status, error } = spawnSync('sudo', ['--', process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
  })
  if (error !== undefined) {
    throw new DorcError('FORBIDDEN', 'Cannot become root through sudo', {
      cause: error,
      hint: `As root, run: dorc ${words.join(' ')}`,
    })
  }
  process.exitCode = status ?? 1
  return true
}
