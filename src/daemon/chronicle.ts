import type { Peer } from '../api/actions.ts'
import type { Event } from '../core/events.ts'

/** Who asks for a change, and what he saw before. */
export interface Author {
  readonly peer: Peer
  readonly ifMatch: number | null
}

/** Tells the journal what happened; it never fails, and nothing is decided from it. */
export interface Chronicle {
  record(app: string | null, event: ChronicleEvent, author: Author | null): void
}

export type ChronicleEvent = Omit<Event, 'type'> & { readonly type: Event['type'] | DaemonEventType }

export type DaemonEventType =
  | 'registered'
  | 'removed'
  | 'taken-in'
  | 'upload-refused'
  | 'nothing-new'
  | 'set-aside'
  | 'daemon-started'
  | 'reloaded'
  | 'files-restored'
  | 'hook-done'
  | 'hook-failed'
  | 'signature-missing'
  | 'receipt'
  | 'wrong-slot'
  | 'connections-closed'
  | 'steering-lost'
  | 'steering-restored'
