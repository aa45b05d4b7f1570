import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DorcError, hasCode } from '../../core/errors.ts'
import { SystemCallError } from '../../platform/libc.ts'
import { programArgv } from '../../platform/programs.ts'
import type { RelayHost, RelayProcess } from './ports.ts'
import { RelayLink } from './relay-link.ts'

export interface EmbeddedHostOptions {
  /** Where the control sockets are; one that accepts is a relay that runs. */
  readonly folder: string
  readonly routesPath: string
  readonly build: string
  readonly logPath: string
  /** A command to run the relay with, such as prlimit(1). */
  readonly wrapper?: readonly string[]
}

const START_TIMEOUT_MS = 15_000
const STOP_TIMEOUT_MS = 5000
const LOG_LINES_QUOTED = 5

/** Relays as detached child processes, which outlive the daemon and are found again by their control sockets. */
export class EmbeddedHost implements RelayHost {
  readonly #options: EmbeddedHostOptions

  constructor(options: EmbeddedHostOptions) {
    this.#options = options
    mkdirSync(options.folder, { recursive: true, mode: 0o700 })
    mkdirSync(dirname(options.logPath), { recursive: true })
  }

  async running(): Promise<readonly RelayProcess[]> {
    return readdirSync(this.#options.folder)
      .map((name) => Number(/^relay-(\d+)\.sock$/.exec(name)?.[1] ?? 0))
      .filter((generation) => generation > 0)
      .toSorted((one, other) => one - other)
      .map((generation) => ({ generation, controlPath: this.#controlPath(generation) }))
      .filter(({ controlPath }) => accepts(controlPath))
  }

  async start(generation: number): Promise<RelayProcess> {
    const controlPath = this.#controlPath(generation)
    const { routesPath, build, logPath, wrapper = [] } = this.#options
    const [command = '', ...program] = [...wrapper, ...programArgv('dorc-relay')]
    const options = ['--control', controlPath, '--routes', routesPath, '--build', build]
    const log = openSync(logPath, 'a', 0o600)
    const child = spawn(command, [...program, '--generation', String(generation), ...options], {
      detached: true,
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    child.unref()
    const exited = once(child, 'exit').catch((error: unknown) => [error])
    const deadline = performance.now() + START_TIMEOUT_MS
    while (!accepts(controlPath)) {
      const hasEnded = await Promise.race([exited.then(() => true), sleep(10, false)])
      if (hasEnded || performance.now() > deadline) {
        child.kill('SIGKILL')
        throw this.#notStarted(
          generation,
          hasEnded ? 'It ended at once' : 'Its control socket does not accept',
        )
      }
    }
    return { generation, controlPath }
  }

  /** Ends every relay and its connections: for the end of a demo or a test, never for an upgrade. */
  async endAll(): Promise<void> {
    for (const { controlPath } of await this.running()) {
      const pid = await pidOf(controlPath)
      if (pid === null) continue
      for (let waitedMs = 0; accepts(controlPath) && waitedMs < STOP_TIMEOUT_MS; waitedMs += 20) {
        // The first asks it to retire, the second to leave at once.
        terminate(pid)
        await sleep(20)
      }
    }
  }

  #controlPath(generation: number): string {
    return join(this.#options.folder, `relay-${generation}.sock`)
  }

  #notStarted(generation: number, reason: string): DorcError {
    const { logPath } = this.#options
    const lines = readFileSync(logPath, 'utf8').trimEnd().split('\n').slice(-LOG_LINES_QUOTED).join(' | ')
    return new DorcError('DATA_PLANE_FAILED', `Cannot start relay generation ${generation}`, {
      cause: new Error(`${reason}: ${lines}`),
      hint: `Read: ${logPath}`,
    })
  }
}

function terminate(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error
  }
}

/** null if it ended just now. */
async function pidOf(controlPath: string): Promise<number | null> {
  try {
    const link = new RelayLink(controlPath, () => null)
    const { pid } = await link.hello()
    link.close()
    return pid
  } catch (error) {
    if (accepts(controlPath)) throw error
    return null
  }
}

/** A socket file that nobody serves any more is removed. */
function accepts(controlPath: string): boolean {
  try {
    new RelayLink(controlPath, () => null).close()
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    // Its queue is full (unix(7)): it is there, and busy.
    if (error instanceof SystemCallError && error.errno === constants.errno.EAGAIN) return true
    if (!hasCode(error, 'ECONNREFUSED')) throw error
    rmSync(controlPath, { force: true })
    return false
  }
}
