import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Clock } from '../../platform/clock.ts'
import { descendantsOf, processStat } from '../../platform/proc.ts'
import { exitText, runCommand } from '../../platform/run-command.ts'
import { isWithoutChildren, pipe, reapChildren } from './child-processes.ts'
import { killAll } from './kill-all.ts'
import type { LineLog } from './line-log.ts'
import type { Installed, ProcessIdentity, Status } from './slot-files.ts'
import { accountOf, explainStartFailure, problemOfUser, slotEnvironment } from './start-conditions.ts'

const OUTPUT_GRACE_MS = 1_000
const NEVER = new AbortController().signal

export interface KeeperDeps {
  readonly installed: Installed
  readonly clock: Clock
  readonly log: LineLog
  /** Restarts before this keeper, if it takes the place of one that died. */
  readonly restarts: number
  readonly lastExit: string | null
  readonly publish: (status: Omit<Status, 'bootId' | 'keeper'>) => void
  /** Aborts when the slot is to stop. */
  readonly signal: AbortSignal
  /** The first start succeeded (null) or failed, with the reason. */
  readonly onFirstStart: (failure: string | null) => void
}

/**
 * Runs one slot until it is told to stop: starts the process, starts it again when it ends, and leaves none of its
 * descendants behind. It is their subreaper, so whatever they fork stays its descendant (prctl(2)).
 */
export class Keeper {
  readonly #deps: KeeperDeps
  #status: Omit<Status, 'bootId' | 'keeper'>
  #main: ChildProcess | null = null
  #output: Promise<void> = Promise.resolve()
  #isStopCommandRunning = false

  constructor(deps: KeeperDeps) {
    this.#deps = deps
    this.#status = {
      isStopping: false,
      state: 'activating',
      main: null,
      invocation: null,
      restarts: deps.restarts,
      since: deps.clock.wall(),
      lastExit: deps.lastExit,
    }
  }

  /** Resolves when no process of the slot is left and none is to be started. */
  async run(): Promise<void> {
    const { limits } = this.#deps.installed
    const { signal, clock } = this.#deps
    let waitMs = limits.firstRestartMs
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      const startedAt = clock.now()
      const failure = await this.#runOnce(isFirst)
      if (isFirst && failure !== null) return
      if (signal.aborted) break
      if (clock.now() - startedAt >= limits.resetAfterMs) waitMs = limits.firstRestartMs
      this.#publish({ state: 'activating' })
      await waitFor(clock, waitMs, signal)
      waitMs = Math.min(waitMs * 2, limits.maxRestartMs)
    }
    this.#publish({ state: 'inactive', main: null })
  }

  /** Collects what was orphaned by the app; Node collects only what it started itself. */
  reap(): void {
    if (!this.#isStopCommandRunning) reapChildren(this.#main?.pid ?? null)
  }

  async #runOnce(isFirst: boolean): Promise<string | null> {
    const invocation = randomUUID().replaceAll('-', '')
    const from = this.#deps.clock.wall()
    const restarts = isFirst ? this.#status.restarts : this.#status.restarts + 1
    this.#publish({ state: 'activating', restarts, isStopping: false })
    const started = await this.#spawn(invocation)
    if ('failure' in started) {
      this.#publish({ state: isFirst ? 'failed' : 'activating', lastExit: started.failure })
      if (isFirst) this.#deps.onFirstStart(started.failure)
      return started.failure
    }
    this.#publish({ state: 'active', main: started.identity, invocation })
    if (isFirst) this.#deps.onFirstStart(null)
    await this.#untilEnd(started.child)
    this.#publish({ endedRun: { invocation, from, to: this.#deps.clock.wall() } })
    return null
  }

  async #spawn(
    invocation: string,
  ): Promise<{ child: ChildProcess; identity: ProcessIdentity; failure?: never } | { failure: string }> {
    const { process: wanted } = this.#deps.installed
    const [file = '', ...words] = wanted.startArgv
    const userProblem = problemOfUser(wanted.user)
    if (userProblem !== null) return { failure: userProblem }
    const account = accountOf(wanted.user)
    const [readFd, writeFd] = pipe()
    const child = spawn(file, words, {
      cwd: wanted.workingDir,
      env: slotEnvironment(wanted, { INVOCATION_ID: invocation }),
      // One pipe for both keeps the order of what it writes.
      stdio: ['ignore', writeFd, writeFd],
      detached: true,
      ...(account === null ? {} : { uid: account.uid, gid: account.gid }),
    })
    // At once: `reap` must never take its exit away from Node.
    this.#main = child
    closeSync(writeFd)
    this.#output = this.#record(readFd)
    const error = await new Promise<Error | null>((resolve) => {
      child.once('error', resolve)
      child.once('spawn', () => resolve(null))
    })
    if (error !== null || child.pid === undefined) return { failure: explainStartFailure(wanted, error) }
    // It is there until it is waited for, which happens in a later turn of the loop at the earliest.
    return { child, identity: { pid: child.pid, startTicks: processStat(child.pid)?.startTicks ?? 0 } }
  }

  /** Waits until the process ends by itself or is ended, and then for all of its descendants. */
  async #untilEnd(child: ChildProcess): Promise<void> {
    const { signal } = this.#deps
    const ended = new Promise<string>((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null)
        resolve(exitText(child.exitCode, child.signalCode))
      else child.once('exit', (status, signalName) => resolve(exitText(status, signalName)))
    })
    const aborted = new Promise<null>((resolve) => {
      if (signal.aborted) resolve(null)
      else signal.addEventListener('abort', () => resolve(null), { once: true })
    })
    const first = await Promise.race([ended, aborted])
    this.#publish({ state: 'deactivating', isStopping: first === null })
    if (first === null) await this.#runStopCommand(child)
    await killAll({
      left: () => descendantsOf(process.pid),
      isNoneLeft: () => {
        this.reap()
        return isWithoutChildren()
      },
      timeoutMs: this.#deps.installed.process.stopTimeoutMs,
    })
    const lastExit = await ended
    // Normally it is closed by now; an end of the pipe that was handed to a process elsewhere must not block the slot.
    await Promise.race([this.#output, waitFor(this.#deps.clock, OUTPUT_GRACE_MS, NEVER)])
    this.#main = null
    this.#publish({ main: null, lastExit })
  }

  async #runStopCommand(child: ChildProcess): Promise<void> {
    const { process: wanted } = this.#deps.installed
    if (wanted.stopArgv === null) return
    const output = this.#deps.log.splitter()
    this.#isStopCommandRunning = true
    const result = await runCommand({
      argv: wanted.stopArgv,
      cwd: wanted.workingDir,
      environment: slotEnvironment(wanted, { MAINPID: String(child.pid) }),
      account: accountOf(wanted.user),
      timeoutMs: wanted.stopTimeoutMs,
      onOutput: output.write,
    })
    output.end()
    this.#isStopCommandRunning = false
    if (result.isSuccess) return
    const text = [result.outcome, result.lastLine].filter((part) => part !== '').join(': ')
    this.#note(`stop command failed: ${text}`)
  }

  /** Resolves when nobody can write any more. */
  #record(readFd: number): Promise<void> {
    const lines = this.#deps.log.splitter()
    const output = new Socket({ fd: readFd, readable: true, writable: false })
    output.on('data', lines.write)
    // Only a broken keeper would see a read error on a pipe; the slot goes on without its log.
    output.once('error', (error) => this.#note(`log stopped: ${error.message}`))
    return new Promise((resolve) => {
      output.once('close', () => {
        lines.end()
        resolve()
      })
    })
  }

  /** A line of dorc's own among the app's. */
  #note(text: string): void {
    this.#deps.log.splitter().write(Buffer.from(`[dorc: ${text}]\n`))
  }

  #publish(change: Partial<Omit<Status, 'bootId' | 'keeper'>>): void {
    const since =
      change.state === undefined || change.state === this.#status.state
        ? this.#status.since
        : this.#deps.clock.wall()
    this.#status = { ...this.#status, ...change, since }
    this.#deps.publish(this.#status)
  }
}

function waitFor(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.after(ms, resolve)
    signal.addEventListener(
      'abort',
      () => {
        cancel()
        resolve()
      },
      { once: true },
    )
  })
}
