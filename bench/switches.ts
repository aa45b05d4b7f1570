import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DaemonClient } from '../src/api/client.ts'
import { pathsUnder } from '../src/platform/paths.ts'
import type { Plane } from './dorc.ts'
import type { Row } from './row.ts'

/** Longer than the witness of a switch goes on after it, so that each switch is alone. */
const PAUSE_MS = 400

/** From the call to the API to the first answer from the other slot over a new connection of the listen address. */
export async function measureSwitches(
  plane: Plane,
  { dir, port, rounds }: { readonly dir: string; readonly port: number; readonly rounds: number },
): Promise<Row[]> {
  const socketPath = pathsUnder(join(dir, plane, 'dorc')).socket
  const client = new DaemonClient(socketPath, { whenAbsent: '', whenDenied: '' })
  const times: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    times.push(await timeOfSwitch(client, port))
    await sleep(PAUSE_MS)
  }
  times.sort((one, other) => one - other)
  const [p50Ms, p99Ms] = [0.5, 0.99].map((share) => times[Math.ceil(share * times.length) - 1] ?? 0)
  if (p50Ms === undefined || p99Ms === undefined) throw new Error('Nothing was switched')
  return [
    { case: 'switch, call to first new connection', path: plane, value: p50Ms, unit: 'ms', p50Ms, p99Ms },
  ]
}

async function timeOfSwitch(client: DaemonClient, port: number): Promise<number> {
  const before = await slotAnswering(port)
  // As every command does: it tells the app's generation with what it asks for.
  const seen = await client.app('bench')
  const following = new AbortController()
  const startedAt = performance.now()
  const switched = (async () => {
    for await (const line of client.switch('bench', { to: null, force: false }, seen, following.signal))
      if (line.kind === 'done' && !line.ok) throw new Error(line.message)
  })()
  while ((await slotAnswering(port)) === before) continue
  const took = performance.now() - startedAt
  await switched
  return took
}

/** The port of the slot that a new connection is answered by. */
function slotAnswering(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect({ port, host: '127.0.0.1' }, () => socket.end('GET /port HTTP/1.0\r\n\r\n'))
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => (answer += text))
    socket.once('error', reject)
    socket.once('close', () => resolve(answer.slice(answer.indexOf('\r\n\r\n') + 4)))
  })
}
