import { setTimeout as sleep } from 'node:timers/promises'
import type { AppStatus, SlotStatus } from '../../api/protocol.ts'
import { type Slot, SLOTS } from '../../core/app.ts'
import { DorcError } from '../../core/errors.ts'
import { LiveLine } from '../progress/live-line.ts'
import { type CommonFlags, openSession, type Session } from '../session.ts'
import { formatApp } from '../status/format-status.ts'

export type RunAction = 'start' | 'stop' | 'restart' | 'reload'

export interface RunFlags extends CommonFlags {
  readonly slot: Slot | undefined
}

const LOOK_EVERY_MS = 200
const PATIENCE_MS = 90_000

const doneWord: Readonly<Record<RunAction, string>> = {
  start: 'started',
  stop: 'stopped',
  restart: 'restarted',
  reload: 'reloaded',
}

/** Like systemctl, it returns when the slots are as they were asked to be. */
export const runAction =
  (action: RunAction) =>
  async (flags: RunFlags, app: string): Promise<void> => {
    const session = openSession(flags)
    const { daemon, paint, columns } = session
    const seen = await daemon.app(app)
    await daemon.run(app, { action, slot: flags.slot ?? null }, seen)
    const slots = flags.slot === undefined ? SLOTS : [flags.slot]
    const now = await waitUntilDone(session, { action, slots, before: seen })
    if (session.isJson) session.document({ app: now })
    const what = flags.slot === undefined ? 'Both slots' : `Slot ${flags.slot}`
    session.say(`${paint.good('✔')} ${what} of ${paint.name(app)} ${doneWord[action]}\n`)
    session.say(formatApp(now, { paint, columns, now: new Date() }))
  }

interface Asked {
  readonly action: RunAction
  readonly slots: readonly Slot[]
  readonly before: AppStatus
}

async function waitUntilDone(session: Session, { action, slots, before }: Asked): Promise<AppStatus> {
  using live = session.isTerminal ? new LiveLine(process.stdout) : null
  const until = Date.now() + PATIENCE_MS
  for (;;) {
    const app = await session.daemon.app(before.name)
    const waiting = slots.find((slot) => !isDone(action, app.slots[slot], before.slots[slot]))
    if (waiting === undefined) return app
    const { state, lastProbe } = app.slots[waiting]
    if (state === 'failed' || Date.now() > until) throw notUp(app, waiting)
    live?.show(() => `Waiting for ${waiting}: ${lastProbe?.detail ?? state}`)
    await sleep(LOOK_EVERY_MS)
  }
}

function isDone(action: RunAction, now: SlotStatus, before: SlotStatus): boolean {
  if (now.state === 'empty') return true
  switch (action) {
    case 'start':
      return now.ready
    case 'stop':
      return now.pid === null
    case 'restart':
      return now.ready && now.pid !== before.pid
    case 'reload':
      return true
    default:
      return action satisfies never
  }
}

function notUp({ name, slots }: AppStatus, slot: Slot): DorcError {
  const { state, lastProbe } = slots[slot]
  return new DorcError('PROBE_FAILED', `Slot ${slot} of "${name}" is not as it was asked to be`, {
    cause: lastProbe?.detail ?? `it is ${state}`,
    hint: `Look at its output: dorc logs ${name} --slot ${slot}`,
  })
}
