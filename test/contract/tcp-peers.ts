import { once } from 'node:events'
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

/** Real TCP peers for the tests of the data planes; everything ends with the test. */

export interface Peer {
  readonly port: number
  readonly sockets: Set<Socket>
  close(): Promise<void>
}

/** A server on a free port of `host` (or on `port`), which keeps half-closed connections open. */
export async function serve(
  t: TestContext,
  onConnection: (socket: Socket) => void,
  where: { host?: string; port?: number } = {},
): Promise<Peer> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => null).on('close', () => sockets.delete(socket))
    onConnection(socket)
  })
  const sockets = new Set<Socket>()
  server.listen({ host: where.host ?? '127.0.0.1', port: where.port ?? 0 })
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    if (server.listening) await new Promise((resolve) => server.close(resolve))
  }
  t.after(close)
  return { port: portOf(server), sockets, close }
}

/** Says its name first, and then sends back what it gets. */
export const namedEcho =
  (name: string) =>
  (socket: Socket): void => {
    socket.write(`${name}\n`)
    socket.pipe(socket)
  }

/** A port that nobody listens on at the moment. */
export async function freePort(t: TestContext, host = '127.0.0.1'): Promise<number> {
  const peer = await serve(t, () => null, { host })
  await peer.close()
  return peer.port
}

/** A client that remembers all that it received and how it ended. */
export class Client {
  readonly socket: Socket
  received = ''
  /** The code of the error that ended it, 'end' after the server's FIN. */
  ended: string | null = null

  constructor(t: TestContext, options: NetConnectOpts) {
    this.socket = connect({ allowHalfOpen: true, ...options })
    this.socket.on('data', (chunk) => (this.received += chunk.toString('latin1')))
    this.socket.on('end', () => (this.ended ??= 'end'))
    this.socket.on('error', (error: NodeJS.ErrnoException) => (this.ended ??= error.code ?? 'error'))
    t.after(() => this.socket.destroy())
  }

  async hears(text: string): Promise<void> {
    await until(`a client hears "${text.slice(0, 40)}"`, () => this.received.includes(text))
  }

  /** Sends a line and waits for its echo. */
  async talks(line: string): Promise<void> {
    this.socket.write(`${line}\n`)
    await this.hears(`${line}\n`)
  }
}

/** Waits for a condition; the deadline only guards against waiting for ever. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + deadlineMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Waited in vain until ${what}`)
    await sleep(5)
  }
}

function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('Not a TCP server')
  return address.port
}
