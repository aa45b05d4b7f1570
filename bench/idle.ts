import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import type { Path } from './peers.ts'
import type { Row } from './row.ts'

function residentMegabytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes) / 1024
}

/** Percent of one core over the time given. */
async function cpuPercent(pid: number, seconds: number): Promise<number> {
  const before = cpuTicks(pid)
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000))
  // sysconf(_SC_CLK_TCK) is 100 on every Linux that Node runs on.
  return ((cpuTicks(pid) - before) / 100 / seconds) * 100
}

function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

const SETTLE_MS = 3_000
const IDLE_SECONDS = 10

/** What a daemon costs that has nothing to do; not while it is still starting. */
export async function measureDaemon(pid: number, name: string): Promise<Row[]> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
  const percent = await cpuPercent(pid, IDLE_SECONDS)
  return [
    { case: 'idle memory', path: name, value: residentMegabytes(pid), unit: 'MB' },
    { case: 'idle processor', path: name, value: percent, unit: '%' },
  ]
}

/** Memory of a path before and with so many connections that say nothing. */
export async function measureIdle(paths: readonly Path[], connections: number): Promise<Row[]> {
  const rows: Row[] = []
  for (const path of paths) {
    const before = residentMegabytes(path.pid)
    const sockets = await openMany(path.port, connections)
    const after = residentMegabytes(path.pid)
    for (const socket of sockets) socket.destroy()
    rows.push({ case: 'memory, no connection', path: path.name, value: before, unit: 'MB' })
    rows.push({ case: `memory, ${connections} idle connections`, path: path.name, value: after, unit: 'MB' })
    const perConnection = ((after - before) * 1024) / connections
    rows.push({ case: 'memory an idle connection', path: path.name, value: perConnection, unit: 'KB' })
  }
  return rows
}

/** Each sends half a request line and is told nothing: both sides of the proxy are open and idle. */
async function openMany(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  while (sockets.length < count) {
    const batch = Array.from({ length: Math.min(200, count - sockets.length) }, (_, index) =>
      openOne(port, sockets.length + index),
    )
    sockets.push(...(await Promise.all(batch)))
  }
  return sockets
}

/** From many addresses of this host: one alone has only 28,000 ports for one destination. */
function openOne(port: number, index: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.0.${2 + (index % 50)}` })
    socket.once('error', reject)
    socket.once('connect', () => socket.write('GET /small HT', () => resolve(socket)))
  })
}
