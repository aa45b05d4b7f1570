import { type DaemonClient, dorcErrorFrom } from '../../api/client.ts'
import type { AppStatus } from '../../api/protocol.ts'
import { otherSlot, type Slot } from '../../core/app.ts'
import { DorcError } from '../../core/errors.ts'
import type { Receipt } from '../../core/receipt.ts'
import { pause } from '../../platform/pause.ts'

/** What a drill does to an app, and undoes. */

const PATIENCE_MS = 30_000
const LOOK_EVERY_MS = 100

export interface Switched {
  readonly receipt: Receipt | null
  readonly latencyMs: number | null
}

/** One switch, to the end of its receipt. Throws why it failed; null if it was called off meanwhile. */
export async function switchOnce(
  daemon: DaemonClient,
  app: string,
  to: Slot,
  signal: AbortSignal,
): Promise<Switched | null> {
  await untilReady(daemon, app, to, signal)
  if (signal.aborted) return null
  const askedAt = monotonicMs()
  let receipt: Receipt | null = null
  let isDone = false
  for await (const line of daemon.switch(app, { to, force: false }, null, signal)) {
    if (line.kind === 'receipt') {
      const { kind: _kind, ...told } = line
      receipt = told
    }
    if (line.kind !== 'done') continue
    if (line.error !== null) throw dorcErrorFrom(line.error)
    isDone = true
  }
  if (signal.aborted) return null
  if (!isDone) throw new DorcError('DAEMON_FAILED', 'The daemon stopped telling how a switch goes')
  const reachedAt = receipt?.reachedAt ?? null
  return { receipt, latencyMs: reachedAt === null ? null : reachedAt - askedAt }
}

/** CLOCK_MONOTONIC, which receipts are timed with, too. */
const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6

/** A daemon that has just started has to probe before it may switch. What is stopped does not get ready by itself. */
async function untilReady(daemon: DaemonClient, app: string, slot: Slot, signal: AbortSignal): Promise<void> {
  const until = Date.now() + PATIENCE_MS
  while (!signal.aborted && Date.now() < until) {
    const { ready, state } = (await daemon.app(app)).slots[slot]
    if (ready || state === 'stopped' || state === 'empty') return
    await pause(LOOK_EVERY_MS, signal)
  }
}

/** Ends the daemon as if by a fault, and returns when another one answers. Throws NO_DAEMON if none does within 30 s. */
export async function killDaemon(daemon: DaemonClient): Promise<void> {
  const { pid } = await daemon.version()
  process.kill(pid, 'SIGKILL')
  const until = Date.now() + PATIENCE_MS
  for (;;) {
    try {
      if ((await daemon.version()).pid !== pid) return
    } catch (error) {
      if (!(error instanceof DorcError) || Date.now() > until) throw error
    }
    await pause(LOOK_EVERY_MS, new AbortController().signal)
  }
}

const MAY_PASS = new Set(['BUSY', 'NOT_READY', 'NOTHING_NEW', 'NO_DAEMON', 'DAEMON_FAILED'])

/**
 * Makes the slot of `before` the active one again, whatever happened, and returns the one that is. It is left alone if it has another
 * release by now: a deploy has come meanwhile, and nobody has asked for that release.
 */
export async function restore(daemon: DaemonClient, before: AppStatus): Promise<Slot | null> {
  const { name, active, slots } = before
  const until = Date.now() + PATIENCE_MS
  for (;;) {
    try {
      const now = await daemon.app(name)
      const isSameRelease = now.slots[active].release === slots[active].release
      if (now.deploy?.state !== 'switching') {
        if (now.active === active || !isSameRelease || Date.now() > until) return now.active
        await switchOnce(daemon, name, active, new AbortController().signal)
      }
    } catch (error) {
      if (!(error instanceof DorcError) || !MAY_PASS.has(error.code)) throw error
      if (Date.now() > until) return null
    }
    await pause(LOOK_EVERY_MS, new AbortController().signal)
  }
}

/** Throws NOT_READY or BUSY if a drill would fail, or show what waits to be shown. */
export function refuseUnfit({ name, active, slots, deploy, paused }: AppStatus): void {
  const hint = `See: dorc status ${name}`
  for (const slot of [active, otherSlot(active)]) {
    if (!slots[slot].ready)
      throw new DorcError('NOT_READY', `Cannot drill "${name}": its ${slot} slot is not ready`, { hint })
  }
  if (paused)
    throw new DorcError('BUSY', `Cannot drill "${name}": it is paused`, { hint: `dorc resume ${name}` })
  if (deploy === null || ['live', 'failed', 'rolled-back'].includes(deploy.state)) return
  const message = `Cannot drill "${name}": the deploy of release ${deploy.release} is ${deploy.state}`
  throw new DorcError('BUSY', message, { hint })
}
