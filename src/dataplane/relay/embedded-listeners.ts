import { formatListen, type ListenAddress } from '../../core/definition.ts'
import { DorcError, hasCode } from '../../core/errors.ts'
import { check } from '../../platform/libc.ts'
import { describePortHolder } from '../../platform/port-holder.ts'
import type { PublicListeners, RelayHost } from './ports.ts'
import { fetchListeners } from './relay-link.ts'
import { encodeSocketAddress, isSameAddress, localAddress } from './socket-address.ts'
import {
  AF_INET,
  AF_INET6,
  bind,
  close,
  F_DUPFD_CLOEXEC,
  fcntl,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  listen as listenOn,
  setsockopt,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
  SOL_SOCKET,
} from './system-calls.ts'

/** Connections that may wait in the kernel while no relay accepts; the kernel's own limit is net.core.somaxconn. */
const BACKLOG = 4096
const ON = Buffer.from(new Int32Array([1]).buffer)
const OFF = Buffer.from(new Int32Array([0]).buffer)

/**
 * Public sockets held by this process. After its restart it gets them back from the relay that runs on, so the
 * ports are never closed in between; only if daemon and relay die together are they.
 */
export class EmbeddedListeners implements PublicListeners, Disposable {
  readonly #host: RelayHost
  readonly #fds = new Map<string, number>()
  #reclaimed: Promise<void> | null = null

  constructor(host: RelayHost) {
    this.#host = host
  }

  async open(app: string, listen: ListenAddress): Promise<number> {
    await (this.#reclaimed ??= this.#reclaim())
    const known = this.#fds.get(app)
    const address = known === undefined ? null : localAddress(known)
    if (known !== undefined && address !== null && isSameAddress(address, listen)) return duplicate(known)
    const fd = openListener(listen)
    if (known !== undefined) close(known)
    this.#fds.set(app, fd)
    return duplicate(fd)
  }

  async close(app: string): Promise<void> {
    await (this.#reclaimed ??= this.#reclaim())
    const fd = this.#fds.get(app)
    if (fd === undefined) return
    this.#fds.delete(app)
    close(fd)
  }

  /** Closes our copies; a relay that runs keeps its own. */
  [Symbol.dispose](): void {
    for (const fd of this.#fds.values()) close(fd)
    this.#fds.clear()
  }

  async #reclaim(): Promise<void> {
    for (const { controlPath } of await this.#host.running()) {
      for (const { app, fd } of await fetchListeners(controlPath).catch(() => [])) {
        const older = this.#fds.get(app)
        if (older !== undefined) close(older)
        this.#fds.set(app, fd)
      }
    }
  }
}

const duplicate = (fd: number): number => check('fcntl', fcntl(fd, F_DUPFD_CLOEXEC, 0) as number)

function openListener(listen: ListenAddress): number {
  const address = encodeSocketAddress(listen)
  const family = address.readUInt16LE(0) === AF_INET ? AF_INET : AF_INET6
  const fd = check('socket', socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) as number)
  try {
    check('setsockopt', setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ON, ON.length) as number)
    // The default is a sysctl (net.ipv6.bindv6only); here `[::]` always means both families.
    if (family === AF_INET6)
      check('setsockopt', setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, OFF, OFF.length) as number)
    check('bind', bind(fd, address, address.length) as number)
    check('listen', listenOn(fd, BACKLOG) as number)
    return fd
  } catch (error) {
    close(fd)
    throw explainBindError(error, listen)
  }
}

function explainBindError(cause: unknown, listen: ListenAddress): unknown {
  const action = `Cannot listen on "${formatListen(listen)}"`
  if (hasCode(cause, 'EADDRINUSE')) {
    const holder = describePortHolder(listen.port) ?? 'another process'
    const hint = 'Stop that program, or give the app another listen address'
    return new DorcError('PORT_TAKEN', `${action}, ${holder} holds the port`, { cause, hint })
  }
  if (hasCode(cause, 'EACCES')) {
    const hint = 'Ports below net.ipv4.ip_unprivileged_port_start (1024) need root'
    return new DorcError('DATA_PLANE_FAILED', action, { cause, hint })
  }
  if (hasCode(cause, 'EADDRNOTAVAIL')) {
    const hint = 'That address is none of this host: see `ip address`'
    return new DorcError('DATA_PLANE_FAILED', action, { cause, hint })
  }
  return cause
}
