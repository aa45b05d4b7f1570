import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { DaemonClient } from '../src/api/client.ts'
import { pathsUnder } from '../src/platform/paths.ts'
import { type Plane, startDorc } from './dorc.ts'
import { writeBackendFiles } from './peers.ts'

/** `npm run bench -- --soak`: whether any of a million requests over a thousand switches fails, on each data plane. */
export const SOAK = { requests: 1_000_000, switches: 1_000 } as const

const REQUESTS_EACH_TIME = 50_000

export interface Soaked {
  readonly plane: Plane
  readonly requests: number
  readonly failed: number
  readonly switches: number
  readonly seconds: number
}

export async function soak(plane: Plane, dir: string, goal: typeof SOAK = SOAK): Promise<Soaked> {
  await using stack = new AsyncDisposableStack()
  writeBackendFiles(dir)
  const ports = { listen: 18080, blue: 21435, green: 21436 }
  await startDorc(plane, dir, ports, stack)
  const socketPath = pathsUnder(join(dir, plane, 'dorc')).socket
  const client = new DaemonClient(socketPath, { whenAbsent: '', whenDenied: '' })
  const startedAt = performance.now()
  const over = new AbortController()
  const counts = { requests: 0, failed: 0, switches: 0 }
  const switching = (async () => {
    while (!over.signal.aborted) {
      await switchOnce(client)
      counts.switches += 1
    }
  })()
  while (counts.requests < goal.requests || counts.switches < goal.switches)
    for (const options of [[], ['-k']]) {
      const { requests, failed } = await ab(ports.listen, options)
      counts.requests += requests
      counts.failed += failed
    }
  over.abort()
  await switching
  return { plane, ...counts, seconds: Math.round((performance.now() - startedAt) / 1_000) }
}

/** Returns once the switch is in force; its receipt, which takes a while longer, is not waited for. */
async function switchOnce(client: DaemonClient): Promise<void> {
  const following = new AbortController()
  for await (const line of client.switch('bench', { to: null, force: false }, null, following.signal)) {
    if (line.kind === 'done' && !line.ok) throw new Error(line.message)
    if (line.kind === 'deploy' && line.deploy.state === 'live') break
  }
  following.abort()
}

/** What ab counts as failed, and what it could not even try: then it ends with another status, and this throws. */
async function ab(port: number, options: readonly string[]): Promise<{ requests: number; failed: number }> {
  const argv = [
    '-q',
    '-l',
    '-n',
    String(REQUESTS_EACH_TIME),
    '-c',
    '20',
    ...options,
    `http://127.0.0.1:${port}/small`,
  ]
  const { stdout } = await promisify(execFile)('ab', argv)
  const count = (what: string): number => Number(new RegExp(`${what}: +(\\d+)`).exec(stdout)?.[1] ?? 0)
  return {
    requests: count('Complete requests'),
    failed: count('Failed requests') + count('Non-2xx responses'),
  }
}
