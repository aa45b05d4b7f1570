import type { SlotStatus } from '../../api/protocol.ts'
import type { Paint } from '../paint.ts'

/** The state of a slot in one word or two; `running` is only said of what may be given connections. */
export function stateWord({ state, ready }: SlotStatus, paint: Paint): string {
  switch (state) {
    case 'running':
      return ready ? paint.good('running') : paint.warn('not ready')
    case 'starting':
      return paint.warn('starting')
    case 'failed':
      return paint.bad('failed')
    case 'stopped':
    case 'empty':
      return paint.dim(state)
    default:
      return state satisfies never
  }
}
