import { counted } from '../quantity.ts'
import { type CommonFlags, openSession } from '../session.ts'

export async function pause(flags: CommonFlags, app: string): Promise<void> {
  const session = openSession(flags)
  const { daemon, say, paint } = session
  await daemon.run(app, { action: 'pause', slot: null }, await daemon.app(app))
  const now = await daemon.app(app)
  if (session.isJson) session.document({ app: now })
  say(`${paint.good('✔')} New connections of ${paint.name(app)} are held; those that exist go on`)
  say(`  Let them through: dorc resume ${app}`)
}

export async function resume(flags: CommonFlags, app: string): Promise<void> {
  const session = openSession(flags)
  const { daemon, say, paint } = session
  const before = await daemon.app(app)
  await daemon.run(app, { action: 'resume', slot: null }, before)
  const now = await daemon.app(app)
  if (session.isJson) session.document({ app: now })
  const waited = before.held === 0 ? '' : `; ${counted(before.held, 'connection')} had been waiting`
  say(`${paint.good('✔')} New connections of ${paint.name(app)} are let through${waited}`)
}
