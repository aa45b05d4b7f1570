import { join } from 'node:path'
import { DorcError } from '../../core/errors.ts'
import { wasDoneAsRoot } from '../as-root.ts'
import { type CommonFlags, openSession, type Session } from '../session.ts'

export interface RemoveFlags extends CommonFlags {
  readonly purge: boolean | undefined
  readonly yes: boolean | undefined
}

export async function remove(flags: RemoveFlags, app: string): Promise<void> {
  const session = openSession(flags)
  if (wasDoneAsRoot(session)) return
  const seen = await session.daemon.app(app)
  const { paint } = session
  if (!flags.yes) {
    const loss = flags.purge ? ' and delete its releases, working directories and data' : ''
    const users = seen.slots.blue.connections + seen.slots.green.connections
    const cut = users > 0 ? ` (${users} open connections are cut)` : ''
    if (!(await isConfirmed(`Stop ${app}${loss}${cut}?`, session.isJson))) {
      session.say('Nothing changed')
      return
    }
  }
  const accepted = await session.daemon.remove(app, { purge: flags.purge === true }, seen)
  if (session.isJson) session.document(accepted)
  session.say(`${paint.good('✔')} ${paint.name(app)} is removed`)
  if (!flags.purge)
    session.say(
      `  Its releases, working directories and data stay; its definition is now ${keptDefinition(session, app)}`,
    )
}

const keptDefinition = ({ paths }: Session, app: string): string =>
  join(paths.appFiles, `${app}.toml.removed`)

async function isConfirmed(question: string, isJson: boolean): Promise<boolean> {
  if (isJson || !process.stdin.isTTY || !process.stdout.isTTY) {
    throw new DorcError('USAGE', 'Nobody can be asked whether to remove the app', { hint: 'Add --yes' })
  }
  const { askConfirmation } = await import('../prompts/confirm.ts')
  return askConfirmation(question, { default: false })
}
