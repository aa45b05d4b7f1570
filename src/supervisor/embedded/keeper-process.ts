import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootId } from '../../platform/clock.ts'
import { closeFilesOnExec } from '../../platform/close-on-exec.ts'
import { descendantsOf, isRunning, processesWithEnvironment, processStat } from '../../platform/proc.ts'
import { programArgv } from '../../platform/programs.ts'
import { killAll, signalEach } from './kill-all.ts'
import type { KeeperArguments } from './keeper-main.ts'
import { readStatus, type Status } from './slot-files.ts'

const THIS_BOOT = bootId()
const POLL_MS = 20
/** How long a keeper may take to end beyond the time that it gives its slot. */
const KEEPER_GRACE_MS = 10_000

/** The status of this boot; what an earlier boot left says nothing about any process. */
export function currentStatus(files: KeeperArguments['files']): Status | null {
  const status = readStatus(files)
  return status !== null && status.bootId === THIS_BOOT ? status : null
}

export function isKept(status: Status | null): boolean {
  return status?.keeper !== null && status?.keeper !== undefined && isRunning(status.keeper)
}

/** In the environment of a keeper, and of nothing that it starts. */
const KEEPER_MARK = 'DORC_KEEPER_OF'

/** Keepers of a slot whose status is lost: two of them would fight for its port. */
export async function stopLostKeepers(files: KeeperArguments['files'], slotMs: number): Promise<void> {
  for (const pid of processesWithEnvironment(`${KEEPER_MARK}=${files.directory}`)) {
    const startTicks = processStat(pid)?.startTicks
    if (startTicks !== undefined) await stopKeeper({ pid, startTicks }, slotMs)
  }
}

/** Starts a keeper that outlives this process. Resolves with why the first start failed, or null. */
export async function startKeeper(args: KeeperArguments, onEnd: () => void): Promise<string | null> {
  const [file, ...words] = programArgv('dorc-keeper')
  const errorLog = join(args.files.directory, 'keeper.log')
  const errorFd = openSync(errorLog, 'w', 0o600)
  closeFilesOnExec()
  const child = spawn(file, [...words, JSON.stringify(args)], {
    cwd: '/',
    env: { ...process.env, [KEEPER_MARK]: args.files.directory },
    stdio: ['ignore', 'ignore', errorFd, 'pipe'],
    detached: true,
  })
  closeSync(errorFd)
  child.unref()
  child.once('exit', onEnd)
  const [answer, error] = await Promise.all([
    textOf(child.stdio[3] as Readable),
    new Promise<Error | null>((resolve) => {
      child.once('error', resolve)
      child.once('spawn', () => resolve(null))
    }),
  ])
  if (error !== null) return error.message
  if (answer === '') return `Its keeper ended: ${readFileSync(errorLog, 'utf8').trim() || 'no reason given'}`
  return (JSON.parse(answer) as { failure: string | null }).failure
}

/** Tells a keeper to stop its slot and waits for its end; kills it if it does not obey. */
export async function stopKeeper(keeper: { pid: number; startTicks: number }, slotMs: number): Promise<void> {
  signalEach([keeper.pid], 'SIGTERM')
  const deadline = performance.now() + slotMs + KEEPER_GRACE_MS
  while (isRunning(keeper)) {
    if (performance.now() >= deadline) signalEach([keeper.pid], 'SIGKILL')
    await sleep(POLL_MS)
  }
}

/** What still runs of a slot whose keeper died: by descent as far as it reaches, and by the mark in its environment. */
export function orphansOf(status: Status | null): number[] {
  if (status === null || status.invocation === null) return []
  const marked = processesWithEnvironment(`INVOCATION_ID=${status.invocation}`)
  const { main } = status
  const family = main !== null && isRunning(main) ? [main.pid, ...descendantsOf(main.pid)] : []
  return [...new Set([...family, ...marked])]
}

export async function killOrphans(status: Status | null, timeoutMs: number): Promise<void> {
  const left = (): number[] => orphansOf(status)
  if (left().length > 0) await killAll({ left, isNoneLeft: () => left().length === 0, timeoutMs })
}

async function textOf(stream: Readable): Promise<string> {
  let text = ''
  for await (const chunk of stream) text += String(chunk)
  return text
}
