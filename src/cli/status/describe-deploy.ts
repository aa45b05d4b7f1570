import type { DeployStatus } from '../../api/protocol.ts'
import type { Paint } from '../paint.ts'
import { plainText } from '../plain-text.ts'
import { formatAgo, formatDuration } from '../quantity.ts'

/** `release 4 → green: preparing, 52 s left`; with the reason of one that failed. */
export function describeDeploy(
  deploy: DeployStatus,
  { paint, now }: { readonly paint: Paint; readonly now: Date },
): string {
  const what = `release ${deploy.release} → ${paint[deploy.slot](deploy.slot)}`
  const why = deploy.reason === null ? '' : `: ${plainText(deploy.reason)} (${deploy.code})`
  return `${what}: ${phaseOf(deploy, paint)}, ${timeOf(deploy, now)}${why}`
}

function phaseOf({ state, kind }: DeployStatus, paint: Paint): string {
  switch (state) {
    case 'draining':
      return 'waiting until the slot has no connections'
    case 'preparing':
      return 'starting and probing'
    case 'ready':
      return paint.good('ready to switch')
    case 'switching':
      return 'switching'
    case 'baking':
      return `${paint.good('switched')}, watching it`
    case 'live':
      return paint.good(kind === 'rollback' ? 'rolled back' : 'live')
    case 'failed':
      return paint.bad('failed')
    case 'rolled-back':
      return paint.bad('took itself back')
    default:
      return state satisfies never
  }
}

function timeOf({ deadline, startedAt }: DeployStatus, now: Date): string {
  if (deadline === null) return formatAgo(startedAt, now)
  return `${formatDuration(Date.parse(deadline) - now.getTime())} left`
}
