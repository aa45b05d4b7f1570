import type { AppStatus, ProgressLine } from '../api/protocol.ts'
import { errorBody } from '../api/server.ts'
import type { App, Deploy } from '../core/app.ts'
import { DorcError } from '../core/errors.ts'
import { reachedWrongSlot, type Receipt } from '../core/receipt.ts'
import type { Clock } from '../platform/clock.ts'
import type { AppLoop } from './app-loop.ts'
import type { SlotUsers } from './slot-users.ts'
import { deployStatus } from './status.ts'

export interface FollowOptions {
  readonly wait: 'ready' | 'live'
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly status: () => Promise<AppStatus>
  readonly users: SlotUsers
}

/** Tells how a deploy goes on, line by line, until it has ended or the caller has gone. */
export async function* follow(
  loop: AppLoop,
  id: number,
  options: FollowOptions,
): AsyncGenerator<ProgressLine> {
  const { signal } = options
  let told = ''
  let toldProbe = ''
  let toldReceipt: Receipt | null = null
  while (!signal.aborted) {
    const changed = nextChange(loop, signal)
    const { deploy, next } = loop.app
    const isWaiting = next?.id === id
    if (!isWaiting && deploy?.id !== id) return yield await superseded(loop, id, options)
    const line = isWaiting || deploy === null ? waitingLine(deploy) : await progressOf(loop, deploy, options)
    // The deadline is derived from two clocks, and differs by a little from look to look.
    const text = JSON.stringify(line, (key, value: unknown) => (key === 'deadline' ? null : value))
    if (line !== null && text !== told) yield line
    told = text
    const probe = isWaiting || deploy === null ? null : probeLine(loop, deploy)
    if (probe !== null && JSON.stringify(probe) !== toldProbe) yield probe
    toldProbe = JSON.stringify(probe)
    const isAtEnd = !isWaiting && deploy !== null && hasEnded(deploy, options.wait)
    const receipt = isAtEnd ? await loop.receipts.of(id) : loop.receipts.writtenOf(id)
    if (receipt !== null && receipt !== toldReceipt) yield { kind: 'receipt', ...receipt }
    toldReceipt = receipt
    if (isAtEnd) return yield await doneLine(deploy, receipt, options)
    await changed
  }
}

/** null: it begins at once. */
function waitingLine(deploy: Deploy | null): ProgressLine | null {
  if (deploy?.state !== 'baking' && deploy?.state !== 'switching') return null
  const reason = `Waiting until release ${deploy.release} is not ${deploy.state} any more: it may need the way back`
  return { kind: 'waiting', reason }
}

async function progressOf(
  loop: AppLoop,
  deploy: Deploy,
  { clock, users }: FollowOptions,
): Promise<ProgressLine> {
  if (deploy.state === 'draining') {
    const connections = loop.observation?.observed.slots[deploy.slot].connections ?? 0
    return {
      kind: 'draining',
      connections,
      secondsLeft: Math.max(0, Math.ceil((deploy.until - clock.now()) / 1_000)),
      ...(await users.of(deploy.slot)),
    }
  }
  return { kind: 'deploy', deploy: deployStatus(deploy, { now: clock.now(), wall: clock.wall() }) }
}

function probeLine(loop: AppLoop, deploy: Deploy): ProgressLine | null {
  const probe = loop.observation?.probes[deploy.slot] ?? null
  return probe === null || deploy.state !== 'preparing'
    ? null
    : { kind: 'probe', slot: deploy.slot, ...probe }
}

function hasEnded(deploy: Deploy, wait: 'ready' | 'live'): boolean {
  switch (deploy.state) {
    case 'live':
    case 'failed':
    case 'rolled-back':
      return true
    case 'ready':
      return wait === 'ready' && !deploy.switchWhenReady
    case 'baking':
      return wait === 'ready'
    case 'draining':
    case 'preparing':
    case 'switching':
      return false
    default:
      return deploy satisfies never
  }
}

async function doneLine(
  deploy: Deploy,
  receipt: Receipt | null,
  { status }: FollowOptions,
): Promise<ProgressLine> {
  const app = await status()
  const { slot } = deploy
  if (deploy.state === 'failed' || deploy.state === 'rolled-back') {
    const what = deploy.state === 'failed' ? 'failed' : 'took itself back'
    const error = new DorcError(deploy.code, `Release ${deploy.release} ${what}: ${deploy.reason}`, {
      hint: app.nextStep ?? `See: dorc status ${app.name}`,
    })
    return { kind: 'done', ok: false, message: error.message, error: errorBody(error).error, slot, app }
  }
  if (receipt !== null && reachedWrongSlot(receipt)) {
    const message = `New connections of "${app.name}" reach ${receipt.reached}, not ${receipt.to}`
    const error = new DorcError('DATA_PLANE_FAILED', message, {
      hint: `See what carries them: dorc status ${app.name}`,
    })
    return { kind: 'done', ok: false, message, error: errorBody(error).error, slot, app }
  }
  return { kind: 'done', ok: true, message: successOf(deploy), error: null, slot, app }
}

function successOf({ state, kind, release, slot }: Deploy): string {
  if (state === 'ready') return `Release ${release} is ready in ${slot}`
  if (state === 'baking')
    return `New connections go to ${slot} (release ${release}), which is watched from now on`
  return kind === 'switch'
    ? `New connections go to ${slot} (release ${release})`
    : `Release ${release} is live in ${slot}`
}

function replacedBy({ next, deploy }: App, id: number): string {
  const newer = next ?? deploy
  if (newer?.kind === 'switch') return `Deploy ${id} was ended by a switch to release ${newer.release}`
  return `Deploy ${id} was replaced by that of release ${newer?.release}`
}

async function superseded(loop: AppLoop, id: number, { status }: FollowOptions): Promise<ProgressLine> {
  const message = loop.app.removal === null ? replacedBy(loop.app, id) : 'The app is being removed'
  const error = new DorcError('SUPERSEDED', message, { hint: `See: dorc events ${loop.app.name}` })
  return { kind: 'done', ok: false, message, error: errorBody(error).error, slot: null, app: await status() }
}

/** The loop's next change or look, or the abort. To be called before the state is read, so that no change falls between the two. */
export function nextChange(loop: AppLoop, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      end()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const end = loop.onChange(done)
    signal.addEventListener('abort', done, { once: true })
  })
}
