import type { Slot } from './app.ts'

/** An app as its file defines it, checked and with every default filled in. */
export interface Definition {
  readonly listen: ListenAddress
  /** Always leads to the inactive slot; null: there is none. */
  readonly preview: ListenAddress | null
  readonly uploadDir: string
  /** Deploy what appears in the upload directory by itself. */
  readonly watch: boolean
  /** How long an upload must be still before it counts as complete. */
  readonly settleMs: number
  readonly autoSwitch: boolean
  readonly bakeMs: number
  readonly drainTimeoutMs: number
  readonly deployTimeoutMs: number
  readonly minHealthyMs: number
  /** How long the data plane holds a new connection while the active slot does not listen. */
  readonly holdTimeoutMs: number
  /** So many crashes of the active slot within `failoverWithinMs` give its traffic to the other; 0: never. */
  readonly failoverCrashes: number
  readonly failoverWithinMs: number
  readonly keepReleases: number
  /** Of all its releases together; null: as much as there is. */
  readonly keepBytes: number | null
  /** Of uploads: not looked at, told of if it is missing or wrong, or refused then. */
  readonly signatures: 'off' | 'warn' | 'require'
  /** Keep other hosts off the slot ports, where the kernel can. */
  readonly guardSlotPorts: boolean
  readonly slots: Readonly<Record<Slot, SlotDefinition>>
}

export interface SlotDefinition {
  readonly port: number
  /** Absolute. */
  readonly workingDir: string
  /** Relative to the root of a release. */
  readonly executable: string
  /** Words, with `{executable}` and the like still in them: see `slot-process.ts`. */
  readonly start: readonly string[]
  /** null: the supervisor's own stop (SIGTERM to all, then SIGKILL). */
  readonly stop: readonly string[] | null
  readonly reload: readonly string[] | null
  readonly hooks: Hooks
  readonly environment: Readonly<Record<string, string>>
  /** null: a user of its own that exists only while the app runs. */
  readonly user: string | null
  readonly stopTimeoutMs: number
  readonly probe: Probe
  readonly sandbox: Sandbox
  readonly resources: Resources
}

/** What one slot may take at most, so that it cannot starve the other. Held to by systemd only. */
export interface Resources {
  /** null: as much as the host has. */
  readonly memoryMaxBytes: number | null
  /** Of one core; null: as much as the host has. */
  readonly cpuQuotaPercent: number | null
  /** Processes and threads. */
  readonly tasksMax: number
  readonly openFiles: number
}

/** Commands at turning points of a deploy, as words with placeholders; null: none. They run as the app's user in its directory. */
export interface Hooks {
  /** Before the slot is started with a new release: migrations. A failure fails the deploy. */
  readonly beforeStart: readonly string[] | null
  /** In the slot that new connections go to from now on. A failure is told and changes nothing. */
  readonly afterSwitch: readonly string[] | null
  /** The same, when traffic went back. */
  readonly afterRollback: readonly string[] | null
}

export type HookName = keyof Hooks

/** How long a hook may take, in milliseconds. */
export const HOOK_TIMEOUT_MS = 300_000

export type Probe =
  | {
      readonly kind: 'http'
      readonly path: string
      /** null: any answer below 500. */
      readonly expectedStatus: number | null
      readonly host: string | null
      readonly intervalMs: number
      readonly timeoutMs: number
    }
  | { readonly kind: 'tcp'; readonly intervalMs: number; readonly timeoutMs: number }
  | {
      readonly kind: 'command'
      readonly command: readonly string[]
      readonly intervalMs: number
      readonly timeoutMs: number
    }
  /** http `/`, and tcp if the app does not speak HTTP. */
  | { readonly kind: 'auto'; readonly intervalMs: number; readonly timeoutMs: number }

/** Ways out of the default sandbox; each is a named key, off by default. */
export interface Sandbox {
  /** Paths outside the working directory that the app may write to. */
  readonly writablePaths: readonly string[]
  /** See the real /home, /root and /run/user. */
  readonly home: boolean
  /** Real devices in /dev. */
  readonly devices: boolean
  /** No sandbox at all: the unit runs as systemd's defaults have it. */
  readonly off: boolean
}

/** `host` is an IPv4 or IPv6 address without brackets; `::` takes IPv4 too. */
export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** The way people write it, and the key that a route is known by: `0.0.0.0:8080`, `[::]:8080`. */
export function formatListen({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
