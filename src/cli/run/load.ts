import { wasDoneAsRoot } from '../as-root.ts'
import { type CommonFlags, openSession } from '../session.ts'

export async function load(flags: CommonFlags, app: string): Promise<void> {
  const session = openSession(flags)
  if (wasDoneAsRoot(session)) return
  const seen = await session.daemon.app(app)
  const accepted = await session.daemon.load(app, seen)
  if (session.isJson) session.document(accepted)
  session.say(`The definition of ${session.paint.name(app)} was read again`)
  session.say(`The next deploy takes it over, or: dorc restart ${app}`)
}
