import { type CommonFlags, openSession } from '../session.ts'
import { formatApp, formatStatus } from '../status/format-status.ts'

export async function status(flags: CommonFlags, app?: string): Promise<void> {
  const session = openSession(flags)
  const options = { paint: session.paint, columns: session.columns, now: new Date() }
  if (app === undefined) {
    const report = await session.daemon.status()
    if (session.isJson) session.document(report)
    session.say(formatStatus(report, options))
    return
  }
  const found = await session.daemon.app(app)
  if (session.isJson) session.document({ apps: [found] })
  session.say(formatApp(found, options))
}
