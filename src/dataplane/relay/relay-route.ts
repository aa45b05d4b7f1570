import { isIPv6 } from 'node:net'
import koffi from 'koffi'
import type { ListenAddress } from '../../core/definition.ts'
import type { Target } from '../../core/app.ts'
import type { Route } from '../dataplane.ts'
import { encodeSocketAddress } from './socket-address.ts'
import { AF_INET, AF_INET6 } from './system-calls.ts'

export interface Listener {
  readonly fd: number
  /** What the socket is bound to. */
  readonly address: ListenAddress
}

/** Where the next connection goes; kept as the kernel wants it, so that connecting marshals nothing. */
export interface Destination {
  readonly target: Target
  readonly family: number
  readonly port: number
  readonly memory: Buffer
  readonly address: number
  readonly isLoopback4: boolean
}

/** One app's traffic in this process. Lives on without a definition until its last connection has ended. */
export class RelayRoute {
  readonly id: number
  readonly app: string
  listener: Listener | null = null
  /** null: no route is known (yet, or any more). */
  definition: Route | null = null
  /** Unlike a socket that came ahead of its route, one whose route was taken away is given up. */
  wasDefined = false
  destination: Destination | null = null
  /** Clients that wait, oldest first. */
  readonly held = new Set<number>()
  /** False after a failed attempt to connect, until one succeeds. */
  isReachable = true
  blue = 0
  green = 0
  timedOut = 0
  accepted = 0
  /** Of these, how many watchers know. */
  told = 0

  constructor(id: number, app: string) {
    this.id = id
    this.app = app
  }

  get mayConnect(): boolean {
    return this.destination !== null && this.definition?.paused === false
  }

  get isIdle(): boolean {
    return this.blue + this.green + this.held.size === 0
  }

  get holdTimeoutMs(): number {
    return this.definition?.holdTimeoutMs ?? 0
  }

  /** True if connections now go elsewhere than before. */
  define(definition: Route): boolean {
    const before = this.destination?.target
    const { target } = definition
    this.definition = definition
    this.wasDefined = true
    if (before?.host === target?.host && before?.port === target?.port && before?.slot === target?.slot)
      return false
    this.destination = target === null ? null : destinationOf(target)
    return true
  }

  undefine(): void {
    this.definition = null
    this.destination = null
  }
}

function destinationOf(target: Target): Destination {
  const memory = encodeSocketAddress(target)
  return {
    target,
    family: isIPv6(target.host) ? AF_INET6 : AF_INET,
    port: target.port,
    memory,
    address: Number(koffi.address(memory)),
    isLoopback4: target.host.startsWith('127.'),
  }
}
