import { wasDoneAsRoot } from '../as-root.ts'
import { DorcError } from '../../core/errors.ts'
import { type CommonFlags, openSession, type Session } from '../session.ts'

export interface SetupFlags extends Pick<CommonFlags, 'json'> {
  readonly remove: boolean | undefined
  readonly purge: boolean | undefined
  readonly yes: boolean | undefined
}

/** Of the host, whatever embedded root may be set in the environment. */
export async function setup(flags: SetupFlags): Promise<void> {
  if (flags.purge && !flags.remove) {
    throw new DorcError('USAGE', '--purge is for --remove', { hint: 'See: dorc setup --help' })
  }
  const session = openSession({ json: flags.json, root: '/' })
  const { isPackaged } = await import('../../setup/package.ts')
  if (isPackaged()) {
    tellPackaged(session, flags)
    return
  }
  if (wasDoneAsRoot(session)) return
  const isWanted = !flags.remove || flags.yes || (await isRemovalConfirmed(flags))
  if (!isWanted) {
    session.say('Nothing changed')
    return
  }
  const done: string[] = []
  const report = (sentence: string): void => {
    done.push(sentence)
    session.say(`${session.paint.good('✔')} ${sentence}`)
  }
  if (flags.remove) {
    const { removeSetup } = await import('../../setup/remove-setup.ts')
    await removeSetup(report, { purge: flags.purge === true })
  } else {
    const { setup: setUp } = await import('../../setup/setup.ts')
    await setUp(report)
    session.say(`\nRegister your first app: ${session.paint.bold('dorc register')}`)
  }
  if (session.isJson) session.document({ done })
}

/** Throws SETUP_FAILED if dorc was to be removed: dpkg would not know. */
function tellPackaged(session: Session, { remove }: SetupFlags): void {
  if (remove)
    throw new DorcError('SETUP_FAILED', 'dorc was installed as a package, and only its package removes it', {
      hint: 'Run: sudo apt remove dorc',
    })
  const done = 'The package of dorc has set it up already'
  if (session.isJson) session.document({ done: [done] })
  session.say(`${done}: see systemctl status dorcd`)
  session.say(`Register your first app: ${session.paint.bold('dorc register')}`)
}

async function isRemovalConfirmed({ purge }: SetupFlags): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new DorcError('USAGE', 'Nobody can be asked whether to take dorc off this host', {
      hint: 'Add --yes',
    })
  }
  const { askConfirmation } = await import('../prompts/confirm.ts')
  const loss = purge ? ', delete their definitions, releases and data' : ''
  return askConfirmation(`Stop all apps${loss} and take dorc off this host?`, { default: false })
}
