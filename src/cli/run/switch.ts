import { otherSlot, type Slot } from '../../core/app.ts'
import { type Done, followProgress } from '../progress/follow-progress.ts'
import { counted } from '../quantity.ts'
import { type CommonFlags, openSession, type Session } from '../session.ts'

export interface SwitchFlags extends CommonFlags {
  readonly to: Slot | undefined
  readonly force: boolean | undefined
}

export async function switchSlot(flags: SwitchFlags, app: string): Promise<void> {
  const session = openSession(flags)
  const seen = await session.daemon.app(app)
  const command = { to: flags.to ?? null, force: flags.force === true }
  await followProgress(session, {
    app,
    open: (signal) => session.daemon.switch(app, command, seen, signal),
    onDone: (done) => tellSwitch(session, done),
  })
}

/** From where to where new connections go now, and who is still on the slot that was left. */
export function tellSwitch({ say, paint }: Session, { slot, app }: Done): void {
  const { name, slots, deploy } = app
  const active = slot ?? app.active
  const left = otherSlot(active)
  const describe = (slot: Slot): string => {
    const { release } = slots[slot]
    return release === null ? paint[slot](slot) : `${paint[slot](slot)} (release ${release})`
  }
  say(`${paint.good('✔')} ${paint.name(name)}: ${describe(left)} → ${describe(active)}`)
  const { connections } = slots[left]
  if (connections > 0)
    say(`  ${counted(connections, 'open connection')} stay${connections === 1 ? 's' : ''} on ${left}`)
  if (deploy?.state === 'baking')
    say(`  It is watched for a while; if it fails, ${left} takes over by itself`)
  say(`  Back: dorc switch ${name}`)
}
