import type {
  Accepted,
  AppStatus,
  CheckReport,
  CloseCommand,
  CloseLine,
  ConnectionSummary,
  DeployCommand,
  JournalEvent,
  LogEntry,
  ProgressLine,
  RegisterRequest,
  ReleaseCheck,
  ReleaseSummary,
  RemoveCommand,
  RollbackCommand,
  RunCommand,
  StatusReport,
  SwitchCommand,
  Version,
  WhyReport,
} from './protocol.ts'
import type { Slot } from '../core/app.ts'

/** Who is at the other end of the socket, as the kernel tells it (SO_PEERCRED, unix(7)). */
export interface Peer {
  readonly uid: number
  readonly gid: number
  readonly pid: number
}

export interface Caller {
  readonly peer: Peer
  /** The generation that the caller saw; null: any. */
  readonly ifMatch: number | null
  /** Aborts when the caller has gone. */
  readonly signal: AbortSignal
}

export interface StreamOptions {
  readonly lines: number
  readonly follow: boolean
}

/** What the API can be asked for; the daemon implements it. Failures are DorcErrors. */
export interface Actions {
  version(): Version
  status(): Promise<StatusReport>
  appStatus(app: string): Promise<AppStatus>
  /** `slot` null: the one that is in trouble. */
  why(app: string, slot: Slot | null): Promise<WhyReport>
  releases(app: string): Promise<readonly ReleaseSummary[]>
  /** Of one release, or with null of all; lowest first. */
  verify(app: string, release: number | null): Promise<readonly ReleaseCheck[]>
  check(request: RegisterRequest): Promise<CheckReport>
  register(request: RegisterRequest, caller: Caller): Promise<Accepted>
  load(app: string, caller: Caller): Promise<Accepted>
  remove(app: string, command: RemoveCommand, caller: Caller): Promise<Accepted>
  run(app: string, command: RunCommand, caller: Caller): Promise<Accepted>
  deploy(app: string, command: DeployCommand, caller: Caller): AsyncIterable<ProgressLine>
  switch(app: string, command: SwitchCommand, caller: Caller): AsyncIterable<ProgressLine>
  rollback(app: string, command: RollbackCommand, caller: Caller): AsyncIterable<ProgressLine>
  /** Oldest first; of one slot, or with null of both. */
  connections(app: string, slot: Slot | null): Promise<readonly ConnectionSummary[]>
  close(app: string, command: CloseCommand, caller: Caller): AsyncIterable<CloseLine>
  logs(app: string, slot: Slot | null, options: StreamOptions, caller: Caller): AsyncIterable<LogEntry>
  events(app: string | null, options: StreamOptions, caller: Caller): AsyncIterable<JournalEvent>
}
