import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify, styleText } from 'node:util'
import { Load, Talkers } from './demo-load.ts'

/**
 * `npm run demo`: the main job for real, on the embedded supervisor, with no root and no systemd. Commands run beside
 * the visitors, never in their way: whoever waits synchronously measures himself.
 */
const project = new URL('..', import.meta.url).pathname
const dorc = join(project, 'bin/dorc')
const root = mkdtempSync(join(tmpdir(), 'dorc-demo-'))
const upload = join(root, 'upload')
const env = { ...process.env, DORC_ROOT: root }

let daemon: ChildProcess | null = null
try {
  await main()
} finally {
  await cleanUp()
}

async function main(): Promise<void> {
  if (!existsSync(join(project, 'dist/dorc.js'))) await run(process.execPath, ['scripts/build.ts'])
  const [listen, blue, green] = await freePorts(3)
  say('A daemon of our own, without root: slots are child processes')
  show(`dorc start-daemon --embedded --root ${root} &`)
  daemon = spawn(dorc, ['start-daemon', '--embedded', '--root', root], { cwd: project, stdio: 'ignore' })
  await until('the daemon answers', async () => (await exitOf(dorc, ['status'], 'ignore')) === 0)

  say('Release 1 lies in the upload directory; registering puts it into both slots')
  await makeRelease('Hello')
  writeFileSync(join(root, 'hello.toml'), definition({ listen, blue, green }))
  await command('register', 'hello', '--from', join(root, 'hello.toml'), '--yes')
  await until('both slots are ready', async () =>
    Object.values((await status()).slots).every(({ ready }) => ready),
  )
  await command('status')

  say('Visitors: 8 at a time, each request a new connection or a kept one, and 5 that stay and talk')
  const load = new Load(listen, 8)
  const talkers = await Talkers.connect(listen, 5)
  load.start()
  await until('visitors were served', () => load.requests > 200)

  say('Release 2 is uploaded: it appears in the inactive slot by itself, and is probed there')
  await makeRelease('Bonjour')
  await until('release 2 is ready', async () => isReady((await status()).deploy, 2))
  await command('switch', 'hello')
  await until('visitors see release 2', () => load.seen.has('2'))
  await command('rollback', 'hello')
  const before = load.requests
  await until('visitors are served after the rollback', () => load.requests > before + 200)
  await load.stop()
  await command('status')
  const kept = await talkers.countAlive()
  talkers.close()
  receipt(load, kept)
}

function receipt(load: Load, kept: number): void {
  const { requests, failures, worstStallMs } = load
  const stall = worstStallMs.toFixed(1)
  const line = `${requests} requests, ${failures.length} failed, worst stall ${stall} ms, ${kept} old connections kept`
  console.log(`\n${styleText(failures.length === 0 ? 'green' : 'red', line)}`)
  for (const failure of failures.slice(0, 5)) console.log(`  ${failure}`)
  if (failures.length > 0 || kept !== 5) process.exitCode = 1
}

function definition(ports: { listen: number; blue: number; green: number }): string {
  return `listen      = "127.0.0.1:${ports.listen}"
upload_dir  = "${upload}"
executable  = "server.mjs"
start       = "${process.execPath} {executable}"
settle      = "1s"
min_healthy = "2s"
[blue]
port        = ${ports.blue}
[green]
port        = ${ports.green}
`
}

/** Written beside the upload directory and renamed into place, as a careful CI job does. */
async function makeRelease(greeting: string): Promise<void> {
  const next = `${upload}.next`
  mkdirSync(next, { recursive: true })
  cpSync(join(project, 'examples/hello/server.mjs'), join(next, 'server.mjs'))
  writeFileSync(join(next, 'greeting.txt'), `${greeting}\n`)
  rmSync(upload, { recursive: true, force: true })
  await run('mv', [next, upload])
  show(`mv ${next} ${upload}`)
}

interface Status {
  readonly slots: Readonly<Record<'blue' | 'green', { readonly ready: boolean }>>
  readonly deploy: { readonly state: string; readonly release: number } | null
}

async function status(): Promise<Status> {
  const { stdout } = await promisify(execFile)(dorc, ['status', 'hello', '--json'], { env })
  const { apps } = JSON.parse(stdout) as { apps: readonly Status[] }
  const [app] = apps
  if (app === undefined) throw new Error(`No app in: ${stdout}`)
  return app
}

function isReady(deploy: Status['deploy'], release: number): boolean {
  return deploy !== null && deploy.state === 'ready' && deploy.release === release
}

/** Shows a command, runs it with its own output, and stops the demo if it fails. */
async function command(...argv: string[]): Promise<void> {
  show(`dorc ${argv.join(' ')}`)
  await run(dorc, argv)
}

async function run(program: string, argv: readonly string[]): Promise<void> {
  const exit = await exitOf(program, argv, 'inherit')
  if (exit !== 0) throw new Error(`${program} ${argv.join(' ')} ended with ${String(exit)}`)
}

async function exitOf(
  program: string,
  argv: readonly string[],
  output: 'inherit' | 'ignore',
): Promise<unknown> {
  const child = spawn(program, argv, { cwd: project, env, stdio: ['ignore', output, output] })
  const [exit] = (await once(child, 'close')) as unknown[]
  return exit
}

function say(text: string): void {
  console.log(`\n${styleText('bold', text)}`)
}

function show(text: string): void {
  console.log(styleText('dim', `$ ${text}`))
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`Gave up waiting until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function freePorts(count: 3): Promise<[listen: number, blue: number, green: number]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve) => {
          server.listen(0, '127.0.0.1', () => {
            const address = server.address()
            resolve(typeof address === 'object' && address !== null ? address.port : 0)
          })
        }),
    ),
  )
  for (const server of servers) server.close()
  const [listen = 0, blue = 0, green = 0] = ports
  return [listen, blue, green]
}

async function cleanUp(): Promise<void> {
  await exitOf(dorc, ['remove', 'hello', '--purge', '--yes'], 'ignore')
  if (daemon !== null) {
    const ended = once(daemon, 'exit')
    daemon.kill('SIGTERM')
    await ended
  }
  rmSync(root, { recursive: true, force: true })
}
