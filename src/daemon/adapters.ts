import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/log.ts'
import type { Paths } from '../platform/paths.ts'
import type { Adapters } from './observe.ts'

export interface AdapterContext {
  readonly paths: Paths
  readonly clock: Clock
  readonly log: Logger
}

/** The adapters of one mode, with what else differs between the modes. Disposing it touches neither slots nor routes. */
export interface Built extends AsyncDisposable {
  readonly adapters: Adapters
  /** Group that may use the control socket; null: nobody else. */
  readonly groupId: number | null
  /** The API answers. */
  readonly onReady: () => void
}
