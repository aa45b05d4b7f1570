import { lstatSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DaemonClient } from '../../api/client.ts'
import type { AppStatus } from '../../api/protocol.ts'
import { SLOTS } from '../../core/app.ts'
import { DorcError } from '../../core/errors.ts'
import { LiveLine } from '../progress/live-line.ts'
import type { Session } from '../session.ts'
import { formatApp } from '../status/format-status.ts'

const LOOK_EVERY_MS = 250

/** Looks at a new app until both slots run what was uploaded, or it is clear that they do not, or will not by themselves. */
export async function waitUntilUp(session: Session, name: string): Promise<AppStatus> {
  using live = session.isTerminal ? new LiveLine(process.stdout) : null
  for (;;) {
    const app = await session.daemon.app(name)
    if (await isSettled(session.daemon, app)) return app
    live?.show(() => waitingText(app))
    await sleep(LOOK_EVERY_MS)
  }
}

async function isSettled(daemon: DaemonClient, { name, deploy, slots }: AppStatus): Promise<boolean> {
  // With a release that was taken in and no deploy of it yet, the deploy is about to begin.
  if (deploy === null) return (await daemon.releases(name)).length === 0
  if (deploy.state === 'failed' || deploy.state === 'rolled-back') return true
  return SLOTS.every((slot) => slots[slot].ready) && (deploy.state === 'live' || deploy.state === 'ready')
}

function waitingText({ slots }: AppStatus): string {
  const waiting = SLOTS.filter((slot) => !slots[slot].ready)
  const details = waiting.map((slot) => `${slot} ${slots[slot].lastProbe?.detail ?? slots[slot].state}`)
  return `Starting both slots: ${details.join('; ')}`
}

/** dorc runs as root, and so a directory that it made is root's. */
function tellWhoUploads({ say, paint }: Session, uploadDir: string): void {
  const found = lstatSync(uploadDir, { throwIfNoEntry: false })
  if (process.geteuid?.() !== 0 || found?.uid !== 0 || (found.mode & 0o022) !== 0) return
  say('')
  say(`${paint.warn('Only root can upload to it.')} For another user: sudo chown USER ${uploadDir}`)
}

/** How the new app stands, and what to type next. Throws what went wrong with its first release. */
export function tellRegistered(session: Session, app: AppStatus): void {
  const { say, paint, columns } = session
  const { name, deploy, uploadDir } = app
  say('')
  say(`Done! ${paint.name(name)} has been registered with two services.`)
  say('')
  say(formatApp(app, { paint, columns, now: new Date() }))
  if (deploy?.state === 'failed') {
    throw new DorcError(
      deploy.code ?? 'UNIT_FAILED',
      `"${name}" is registered, but its first release does not run`,
      {
        cause: deploy.reason,
        hint: `Look at its output: dorc logs ${name}\nThen upload a mended release to ${uploadDir}`,
      },
    )
  }
  if (deploy !== null) {
    say('')
    say(`Upload the next release to ${uploadDir}, then: dorc switch ${name}`)
  }
  tellWhoUploads(session, uploadDir)
}
