import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { DaemonClient } from '../../src/api/client.ts'
import { hasCode } from '../../src/core/errors.ts'
import { type Paths, pathsUnder } from '../../src/platform/paths.ts'
import { CLI_PROGRAM } from '../cli-program.ts'

export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The CLI with an embedded daemon of its own, which the CLI started: all of it as a user has it. */
export class EmbeddedDorc implements AsyncDisposable {
  readonly root: string
  readonly client: DaemonClient
  readonly paths: Paths
  #daemon: ChildProcess
  #daemonOutput = ''

  private constructor(root: string) {
    this.root = root
    this.paths = pathsUnder(root)
    this.client = new DaemonClient(this.paths.socket, { whenAbsent: '', whenDenied: '' })
    this.#daemon = this.#spawn()
  }

  static async start(): Promise<EmbeddedDorc> {
    return EmbeddedDorc.startIn(await mkdtemp(join(tmpdir(), 'dorc-cli-')))
  }

  /** With that directory as root, which disposal removes. */
  static async startIn(root: string): Promise<EmbeddedDorc> {
    const dorc = new EmbeddedDorc(root)
    await dorc.#answers()
    return dorc
  }

  /** The daemon ends as by that signal, and another one takes its place after `meanwhile`. */
  async restart(
    signal: NodeJS.Signals,
    meanwhile: () => Promise<void> = async () => undefined,
  ): Promise<void> {
    const ended = once(this.#daemon, 'close')
    this.#daemon.kill(signal)
    await ended
    await meanwhile()
    this.#daemon = this.#spawn()
    await this.#answers()
  }

  /** What the daemon has printed. */
  get output(): string {
    return this.#daemonOutput
  }

  #spawn(): ChildProcess {
    // The daemon takes the place of the command: one process.
    const daemon = spawn(process.execPath, [CLI_PROGRAM, 'start-daemon', '--embedded', '--root', this.root], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const take = (chunk: Buffer): void => void (this.#daemonOutput += chunk.toString('utf8'))
    daemon.stdout.on('data', take)
    daemon.stderr.on('data', take)
    return daemon
  }

  #answers(): Promise<void> {
    return this.until('the daemon answers', async () =>
      this.client.version().then(
        ({ pid }) => pid === this.#daemon.pid,
        () => false,
      ),
    )
  }

  get argv(): string[] {
    return [process.execPath, CLI_PROGRAM]
  }

  get env(): NodeJS.ProcessEnv {
    return { DORC_ROOT: this.root }
  }

  run(...words: string[]): Promise<Outcome> {
    const child = spawn(process.execPath, [CLI_PROGRAM, ...words], {
      env: { ...process.env, ...this.env, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 60_000,
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    return new Promise((resolve) => {
      child.once('close', (status) => resolve({ status, stdout, stderr }))
    })
  }

  /** Fails with a sentence if `holds` does not come true within a minute, or the daemon has ended. */
  async until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 60_000
    while (!(await holds())) {
      if (Date.now() > deadline || this.#daemon.exitCode !== null)
        throw new Error(`Waited in vain until ${what}\n${this.#daemonOutput}`)
      await pause(20)
    }
  }

  /** A release in a directory of its own: a web server that answers with `answer`, or whatever `program` says. */
  async release(name: string, answer: string, program = webServer(answer)): Promise<string> {
    const dir = join(this.root, 'releases-of-test', name)
    const path = join(dir, 'bin', 'serve')
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, `#!${process.execPath}\n${program}`, { mode: 0o755 })
    return dir
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end()
    await rm(this.root, { recursive: true, force: true })
  }

  /** Ends every process; the files stay. */
  async end(): Promise<void> {
    for (const app of await this.#apps()) await this.run('remove', app, '--purge', '--yes')
    const ended = once(this.#daemon, 'close')
    this.#daemon.kill('SIGTERM')
    await ended
    await this.#endAll()
  }

  /** Relays and keepers outlive the daemon by design: nothing is cut when it ends. */
  async #endAll(): Promise<void> {
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch((error: unknown) => {
        if (hasCode(error, 'ENOENT') || hasCode(error, 'ESRCH')) return ''
        throw error
      })
      if (!command.includes(`${this.root}/`) || Number(pid) === process.pid) continue
      try {
        process.kill(Number(pid), 'SIGKILL')
      } catch (error) {
        if (!hasCode(error, 'ESRCH')) throw error
      }
    }
  }

  async #apps(): Promise<string[]> {
    const { stdout } = await this.run('status', '--json')
    const { apps } = JSON.parse(stdout) as { apps: { name: string }[] }
    return apps.map(({ name }) => name)
  }
}

const webServer = (answer: string): string => `
console.log('serving ' + ${JSON.stringify(answer)} + ' \\u001b[31min red')
require('node:http')
  .createServer((_request, response) => response.end(${JSON.stringify(answer)}))
  .listen(Number(process.env.PORT), '127.0.0.1')
`

/** Below those that the kernel gives to clients (ip(7), ip_local_port_range): none of theirs comes in between. */
const FIRST_PORT = 10_000
const PORTS = 20_000

/** A port that was free a moment ago, and that no other test is likely to have found at the same time. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS)
    const server = createServer().listen(port, '127.0.0.1')
    try {
      await once(server, 'listening')
    } catch (error) {
      if (!hasCode(error, 'EADDRINUSE')) throw error
      continue
    }
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}

export async function answerOn(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } })
  return response.text()
}
