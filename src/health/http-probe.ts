import { get, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { connectFailure, duration, failed, passed, type ProbeResult } from './probe-result.ts'
import { isSelfConnected, SELF_CONNECTED } from './tcp-probe.ts'

export interface HttpProbe {
  readonly host: string
  readonly port: number
  readonly path: string
  /** null: any answer below 500. */
  readonly expectedStatus: number | null
  /** null: the address that is probed. */
  readonly hostHeader: string | null
  readonly timeoutMs: number
}

/** `speaksHttp` is false if something else than HTTP came back, null if nothing came that would tell. */
export type HttpProbeResult = ProbeResult & { readonly speaksHttp: boolean | null }

const MAX_BODY_BYTES = 1024 * 1024

/** One GET on a connection of its own; redirects are answers, not followed. */
export function probeHttp(probe: HttpProbe): Promise<HttpProbeResult> {
  const { host, port, path, hostHeader, timeoutMs } = probe
  const startedAt = performance.now()
  return new Promise((resolve) => {
    const headers = { 'user-agent': 'dorc', connection: 'close', ...(hostHeader && { host: hostHeader }) }
    const request = get({ host, port, path, agent: false, headers })
    const timer = setTimeout(() => {
      finish({ ...failed(`no answer in ${duration(timeoutMs)}`), speaksHttp: null })
    }, timeoutMs)
    const finish = (result: HttpProbeResult): void => {
      clearTimeout(timer)
      request.destroy()
      resolve(result)
    }
    let isConnected = false
    request.once('socket', (socket: Socket) =>
      socket.once('connect', () => {
        isConnected = true
        if (isSelfConnected(socket)) finish({ ...failed(SELF_CONNECTED), speaksHttp: null })
      }),
    )
    // Stays after the end: destroying a request may report one more error.
    request.on('error', (error: Error & { code?: string }) => finish(judgeError(error, isConnected)))
    request.once('response', (response) => {
      drain(response, () => finish(judge(probe, response.statusCode ?? 0, performance.now() - startedAt)))
    })
  })
}

function judge({ expectedStatus }: HttpProbe, status: number, tookMs: number): HttpProbeResult {
  const isWanted = expectedStatus === null ? status < 500 : status === expectedStatus
  const wanted = expectedStatus === null ? 'below 500' : String(expectedStatus)
  const result = isWanted
    ? passed(`HTTP ${status} in ${duration(tookMs)}`)
    : failed(`HTTP ${status}, wanted ${wanted}`)
  return { ...result, speaksHttp: true }
}

/** A reader's end of the body: programs that write to a closed connection log errors. */
function drain(response: IncomingMessage, onEnd: () => void): void {
  let received = 0
  response.on('data', (chunk: Buffer) => {
    received += chunk.length
    if (received > MAX_BODY_BYTES) onEnd()
  })
  response.once('close', onEnd)
}

function judgeError(error: Error & { code?: string }, isConnected: boolean): HttpProbeResult {
  // llhttp's errors begin with HPE_: something came back, and it is no HTTP.
  if (error.code?.startsWith('HPE_') === true) return { ...failed('does not speak HTTP'), speaksHttp: false }
  const isHungUp = isConnected && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
  if (isHungUp) return { ...failed('connection closed without an answer'), speaksHttp: false }
  return { ...failed(connectFailure(error)), speaksHttp: null }
}
