import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { installPackages } from '../scripts/debian-packages.ts'
import { DORC, startDorc } from './dorc.ts'
import { measureDaemon, measureIdle } from './idle.ts'
import { startHaproxy, startNginxStream, writeBackendFiles } from './peers.ts'
import { formatRows, type Row } from './row.ts'
import { soak } from './soak.ts'
import { measureStartUp } from './start-up.ts'
import { measureSwitches } from './switches.ts'
import { measureTakeIn } from './take-in.ts'
import { measureTraffic } from './traffic.ts'

/** `npm run bench [-- --quick] [--json FILE] [--soak]`: dorc and its peers side by side, in turns, on this machine. */
const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    only: { type: 'string' },
    soak: { type: 'boolean', default: false },
  },
})
const ports = { listen: 18080, blue: 21435, green: 21436, nginx: 18081, haproxy: 18082, backend: 21435 }
const relayPorts = { listen: 18083, blue: 21437, green: 21438 }
const extent = values.quick
  ? { rounds: 2, seconds: 2, idle: 2_000, startUps: 5, switches: 20, files: 1_000, bytes: 1e8, takeIns: 1 }
  : { rounds: 5, seconds: 5, idle: 9_500, startUps: 21, switches: 200, files: 10_000, bytes: 1e9, takeIns: 3 }

const missing = installPackages()
if (missing.length > 0) throw new Error(`The bench needs the Debian packages ${missing.join(' ')}`)
if (spawnSync(process.execPath, ['scripts/build.ts'], { stdio: 'inherit' }).status !== 0) process.exit(1)

const dir = mkdtempSync(join(tmpdir(), 'dorc-bench-'))
try {
  if (values.soak) await soakBoth()
  const rows = values.soak ? [] : await measure()
  const date = new Date().toISOString().slice(0, 10)
  const kernel = execFileSync('uname', ['-sr'], { encoding: 'utf8' }).trim()
  const machine = `${date}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${kernel}, Node ${process.version}`
  console.log(`${machine}\n${formatRows(rows)}`)
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ machine, rows }, null, 1)}\n`)
} finally {
  rmSync(dir, { recursive: true, force: true })
}

async function soakBoth(): Promise<void> {
  for (const plane of ['steering', 'relay'] as const) {
    const { requests, failed, switches, seconds } = await soak(plane, dir)
    console.log(`${plane}: ${requests} requests over ${switches} switches in ${seconds} s, ${failed} failed`)
    if (failed > 0) process.exitCode = 1
  }
}

async function measure(): Promise<Row[]> {
  const wants = (part: string): boolean => values.only === undefined || values.only.split(',').includes(part)
  const rows: Row[] = []
  if (wants('start-up')) rows.push(...measureStartUp(DORC, extent.startUps))
  if (['traffic', 'idle', 'switch'].some(wants)) rows.push(...(await measureRunning(wants)))
  if (wants('take-in')) {
    const { files, bytes, takeIns } = extent
    rows.push(...(await measureTakeIn(dir, { files, bytes, rounds: takeIns })))
  }
  return rows
}

async function measureRunning(wants: (part: string) => boolean): Promise<Row[]> {
  await using stack = new AsyncDisposableStack()
  writeBackendFiles(dir)
  const steering = await startDorc('steering', dir, ports, stack)
  const relay = await startDorc('relay', dir, relayPorts, stack)
  const nginx = await startNginxStream(dir, ports, stack)
  const haproxy = await startHaproxy(dir, ports, stack)
  const rows: Row[] = []
  if (wants('idle')) {
    rows.push(...(await measureIdle([relay.path, nginx, haproxy], extent.idle)))
    rows.push(...steering.idle, ...(await measureDaemon(steering.daemonPid, 'daemon, one app')))
  }
  if (wants('switch')) {
    const rounds = extent.switches
    rows.push(...(await measureSwitches('steering', { dir, port: ports.listen, rounds })))
    rows.push(...(await measureSwitches('relay', { dir, port: relayPorts.listen, rounds })))
  }
  if (wants('traffic'))
    rows.push(...(await measureTraffic([steering.direct, steering.path, relay.path, nginx, haproxy], extent)))
  return rows
}
