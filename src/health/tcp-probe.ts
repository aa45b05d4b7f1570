import { connect, type Socket } from 'node:net'
import { connectFailure, duration, failed, passed, type ProbeResult } from './probe-result.ts'

export interface TcpProbe {
  readonly host: string
  readonly port: number
  readonly timeoutMs: number
  /** How many connections the app has not accepted yet. */
  readonly acceptQueue: () => number
}

const POLL_MS = 20

/**
 * Passes when the app takes a connection. The kernel completes a handshake without the app, so a connect alone says
 * nothing about a stopped or hung one: its accept queue must shrink or be empty, too.
 */
export async function probeTcp(probe: TcpProbe): Promise<ProbeResult> {
  const startedAt = performance.now()
  const deadline = startedAt + probe.timeoutMs
  const socket = connect({ host: probe.host, port: probe.port })
  try {
    const problem = await connected(socket, probe.timeoutMs)
    if (problem !== null) return failed(problem)
    if (isSelfConnected(socket)) return failed(SELF_CONNECTED)
    const took = duration(performance.now() - startedAt)
    const waiting = await untilAccepted(probe.acceptQueue, deadline)
    if (waiting === 0) return passed(`tcp connect in ${took}`)
    return failed(`accepts no connections: ${waiting} wait since ${duration(probe.timeoutMs)}`)
  } finally {
    socket.destroy()
  }
}

export const SELF_CONNECTED = 'nothing listens: the probe met itself'

/**
 * A connect to a port of the ephemeral range that nobody listens on can be given this very port as its source, and
 * then talks to itself (RFC 9293, 3.5, simultaneous open).
 */
export function isSelfConnected({ localAddress, localPort, remoteAddress, remotePort }: Socket): boolean {
  return localPort === remotePort && localAddress === remoteAddress
}

function connected(socket: Socket, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(`no connection within ${duration(timeoutMs)}`), timeoutMs)
    const finish = (problem: string | null): void => {
      clearTimeout(timer)
      resolve(problem)
    }
    socket.once('connect', () => finish(null))
    // Stays for the whole life of the socket: a reset after the connect is no news.
    socket.on('error', (error) => finish(connectFailure(error)))
  })
}

/** 0 as soon as the app accepts; at the deadline, how many wait in vain. */
async function untilAccepted(acceptQueue: () => number, deadline: number): Promise<number> {
  let waiting = acceptQueue()
  while (waiting > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    const now = acceptQueue()
    if (now < waiting) return 0
    waiting = now
  }
  return waiting
}
