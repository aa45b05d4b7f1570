import { followProgress } from '../progress/follow-progress.ts'
import { type CommonFlags, openSession } from '../session.ts'
import { tellSwitch } from './switch.ts'

export interface RollbackFlags extends CommonFlags {
  readonly force: boolean | undefined
}

export async function rollback(flags: RollbackFlags, app: string, release?: number): Promise<void> {
  const session = openSession(flags)
  const seen = await session.daemon.app(app)
  const command = { release: release ?? null, force: flags.force === true }
  await followProgress(session, {
    app,
    open: (signal) => session.daemon.rollback(app, command, seen, signal),
    onDone: (done) => tellSwitch(session, done),
  })
}
