import { wasDoneAsRoot } from '../as-root.ts'
import { type CommonFlags, openSession } from '../session.ts'

export async function load(flags: CommonFlags, app: string): Promise<void> {
  const session = openSession(flags)
  if (wasDoneAsRoot(session)) return
  const seen = await session.daemon.app(app)
  const accepted = await session.daemon.load(app, seen)
  if (session.isJson) session.document(accepted)
  session.say(`The definition of ${session.paint.name(app)} was read again`)
  const listen = accepted.app?.listen ?? seen.listen
  if (listen !== seen.listen) session.say(`New connections are taken at ${listen} from now on`)
  session.say(`What runs keeps the rest of the old one until the next deploy, or: dorc restart ${app}`)
}
