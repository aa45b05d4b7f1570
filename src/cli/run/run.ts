import type { Slot } from '../../core/app.ts'
import { type CommonFlags, openSession } from '../session.ts'
import { formatApp } from '../status/format-status.ts'

export type RunAction = 'start' | 'stop' | 'restart' | 'reload'

export interface RunFlags extends CommonFlags {
  readonly slot: Slot | undefined
}

const doneWord: Readonly<Record<RunAction, string>> = {
  start: 'started',
  stop: 'stopped',
  restart: 'restarted',
  reload: 'reloaded',
}

export const runAction =
  (action: RunAction) =>
  async (flags: RunFlags, app: string): Promise<void> => {
    const session = openSession(flags)
    const { daemon, paint, columns } = session
    const seen = await daemon.app(app)
    const accepted = await daemon.run(app, { action, slot: flags.slot ?? null }, seen)
    if (session.isJson) session.document(accepted)
    const what = flags.slot === undefined ? 'Both slots' : `Slot ${flags.slot}`
    session.say(`${what} of ${paint.name(app)}: to be ${doneWord[action]}`)
    if (accepted.app !== null)
      session.say(`\n${formatApp(accepted.app, { paint, columns, now: new Date() })}`)
  }
