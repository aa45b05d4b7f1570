import type { ListenAddress } from '../../core/definition.ts'

/** Starts and finds relay processes. systemd: instances of dorc-relay@.service; embedded: child processes. */
export interface RelayHost {
  /** Generations that run now, oldest first; old ones only live on for their last connections. */
  running(): Promise<readonly RelayProcess[]>
  /** Starts this generation and makes it the one started at boot; resolves when its control socket accepts. */
  start(generation: number): Promise<RelayProcess>
}

export interface RelayProcess {
  readonly generation: number
  /** The unix socket that it is told its routes over. */
  readonly controlPath: string
}

/**
 * Owns the public listening sockets, apart from any relay process, so that a dead relay refuses nobody.
 * systemd: socket units held by process 1; embedded: held by the daemon.
 */
export interface PublicListeners {
  /**
   * The fd of a listening, non-blocking, close-on-exec socket on `listen`; the caller closes it. Opens it if it is
   * not open yet; an address that the app had before is closed. null: it is open, and the kernel forbids to copy it;
   * a relay that starts has it all the same. Throws PORT_TAKEN, naming the process that holds it.
   */
  open(app: string, listen: ListenAddress): Promise<number | null>
  close(app: string): Promise<void>
}
