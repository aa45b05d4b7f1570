import type { Caller } from '../api/actions.ts'
import { DorcError } from '../core/errors.ts'
import { requestPause } from '../core/requests.ts'
import type { AppLoop } from './app-loop.ts'
import { nextChange } from './follow.ts'

/** The loop's next turn tells the data plane; a relay that is just being replaced may take some seconds. */
const IN_FORCE_WITHIN_MS = 10_000

/**
 * Holds new connections or lets them through, and resolves when that is in force; at once if it is so already. Throws
 * DATA_PLANE_FAILED if the data plane does not take it in time: the intent stays, and is tried again.
 */
export async function pauseOrResume(
  loop: AppLoop,
  paused: boolean,
  { peer, ifMatch, signal }: Caller,
): Promise<void> {
  await loop.change({ peer, ifMatch }, (app) => requestPause(app, paused))
  const late = AbortSignal.timeout(IN_FORCE_WITHIN_MS)
  const ended = AbortSignal.any([late, signal])
  // Without a route there are no connections to hold: it will be told with the first one.
  const isInForce = (): boolean => (loop.observation?.route?.paused ?? paused) === paused
  for (;;) {
    const changed = nextChange(loop, ended)
    if (isInForce() || ended.aborted) break
    await changed
  }
  if (!isInForce() && late.aborted) {
    const what = paused ? 'hold new connections' : 'let new connections through'
    throw new DorcError('DATA_PLANE_FAILED', `Cannot ${what} of "${loop.app.name}" yet`, {
      ...(loop.routeProblem === null ? {} : { cause: loop.routeProblem }),
      hint: `It is tried again. See: dorc status ${loop.app.name}`,
    })
  }
}
