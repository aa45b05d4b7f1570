import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { StatusReport } from '../src/api/protocol.ts'
import { measureDaemon } from './idle.ts'
import { accepts, backendConfig, own, type Path, pidOf } from './peers.ts'
import type { Row } from './row.ts'

export const DORC = new URL('../bin/dorc', import.meta.url).pathname
const run = promisify(execFile)

export interface RunningDorc {
  readonly daemonPid: number
  /** Of the daemon before it had an app. */
  readonly idle: readonly Row[]
  /** To the active slot itself. */
  readonly direct: Path
  /** Through the listen address. */
  readonly path: Path
}

/** What the embedded daemon may do decides what carries its app. */
const COMMANDS = {
  steering: [],
  relay: ['setpriv', '--bounding-set=-bpf,-net_admin,-sys_admin'],
} as const

export type Plane = keyof typeof COMMANDS

/** dorc as its users run it, embedded, with the back end as its app. Throws if the plane is not the one asked for. */
export async function startDorc(
  plane: Plane,
  parentDir: string,
  ports: { listen: number; blue: number; green: number },
  stack: AsyncDisposableStack,
): Promise<RunningDorc> {
  const dir = join(parentDir, plane)
  const root = join(dir, 'dorc')
  const upload = join(dir, 'upload')
  mkdirSync(upload, { recursive: true })
  for (const slot of ['blue', 'green'] as const) {
    writeFileSync(join(upload, `${slot}.conf`), backendConfig(parentDir, ports[slot]))
  }
  const env = { ...process.env, DORC_ROOT: root }
  const [command = DORC, ...rest] = [...COMMANDS[plane], DORC, 'start-daemon', '--embedded', '--root', root]
  const daemon = own(spawn(command, rest, { env, stdio: 'ignore' }), stack)
  stack.defer(async () => {
    await run(DORC, ['remove', 'bench', '--purge', '--yes'], { env })
    const ended = once(daemon, 'exit')
    daemon.kill('SIGTERM')
    await ended
  })
  await answers(env)
  const idle = await measureDaemon(pidOf(daemon), 'daemon, no app')
  const file = join(dir, 'bench.toml')
  writeFileSync(
    file,
    `listen = "127.0.0.1:${ports.listen}"
upload_dir = "${upload}"
executable = "blue.conf"
start = "/usr/sbin/nginx -p {dir} -c {dir}/{slot}.conf -e stderr"
min_healthy = "1s"
[blue]
port = ${ports.blue}
[green]
port = ${ports.green}
`,
  )
  await run(DORC, ['register', 'bench', '--from', file, '--yes'], { env })
  await accepts(ports.listen)
  await carries(plane, env)
  const pid = pidWithArgument('dorc-relay.js', root)
  return {
    daemonPid: pidOf(daemon),
    idle,
    direct: { name: 'direct', port: ports.blue, pid },
    path: { name: plane, port: ports.listen, pid },
  }
}

async function carries(plane: string, env: NodeJS.ProcessEnv): Promise<void> {
  const { stdout } = await run(DORC, ['status', 'bench', '--json'], { env })
  const { apps } = JSON.parse(stdout) as StatusReport
  if (apps[0]?.dataPlane === plane) return
  throw new Error(
    `The app is carried by ${apps[0]?.dataPlane} (${apps[0]?.dataPlaneReason}), not by ${plane}`,
  )
}

async function answers(env: NodeJS.ProcessEnv): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    const isUp = await run(DORC, ['status'], { env }).then(
      () => true,
      () => false,
    )
    if (isUp) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('The daemon does not answer')
}

function pidWithArgument(program: string, argument: string): number {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      if (argv.includes(program) && argv.includes(argument)) return Number(pid)
    } catch {
      // It ended between the two looks, so it is not the one.
    }
  }
  throw new Error(`No process runs ${program} with ${argument}`)
}
