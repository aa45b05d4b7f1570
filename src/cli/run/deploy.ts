import { resolve } from 'node:path'
import type { AppStatus } from '../../api/protocol.ts'
import { otherSlot } from '../../core/app.ts'
import { DorcError } from '../../core/errors.ts'
import { followProgress } from '../progress/follow-progress.ts'
import { type CommonFlags, openSession, type Session } from '../session.ts'

export interface DeployFlags extends CommonFlags {
  readonly switch: boolean | undefined
  readonly noWait: boolean | undefined
  readonly waitLive: boolean | undefined
  readonly force: boolean | undefined
}

export async function deploy(flags: DeployFlags, app: string, path?: string): Promise<void> {
  if (flags.noWait && flags.waitLive) {
    throw new DorcError('USAGE', '--no-wait and --wait-live exclude each other', {
      hint: 'See: dorc deploy --help',
    })
  }
  const session = openSession(flags)
  const seen = await session.daemon.app(app)
  const command = {
    path: path === undefined ? null : resolve(path),
    switch: flags.switch === true,
    force: flags.force === true,
    wait: flags.noWait ? 'no' : flags.waitLive ? 'live' : 'ready',
  } as const
  await followProgress(session, {
    app,
    open: (signal) => session.daemon.deploy(app, command, seen, signal),
    onDone: ({ message, app: after }) => {
      session.say(`${session.paint.good('✔')} ${message}`)
      tellNext(session, after)
    },
  })
}

/** After a deploy: where to look at it and how to show it, or how to take it back. */
export function tellNext(
  { say, paint }: Session,
  { name, active, slots, deploy, nextStep }: AppStatus,
): void {
  const inactive = otherSlot(active)
  if (deploy?.state === 'ready' && deploy.slot === inactive) {
    say(`  Try it on port ${slots[inactive].port}; ${paint[active](active)} still gets all new connections`)
    say(`  Show it to the world: dorc switch ${name}`)
  } else if (deploy?.state === 'baking' && deploy.slot === active) {
    say(`  Back: dorc switch ${name}`)
  } else if (nextStep !== null) say(`  ${nextStep}`)
}
