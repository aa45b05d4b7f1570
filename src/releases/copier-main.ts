import { readSync, writeSync } from 'node:fs'
import { describeError, DorcError, hasCode } from '../core/errors.ts'
import { libc } from '../platform/libc.ts'
import type { CopierLine, Job, Jobs, JobKind } from './copier-job.ts'
import type { Progress } from './progress.ts'
import { signedTextOf } from './manifest-of-dir.ts'
import { install } from './install.ts'
import { verifyRelease, verifySlot } from './read-release.ts'
import { cleanLeftovers, removeAppReleases, removeReleases } from './remove-releases.ts'
import { diskFull, takeIn } from './take-in.ts'
import { uninstall } from './uninstall.ts'
import { findWriters } from './writers.ts'

/** One job in a process of its own: system calls that wait for the disk, or for an uploader's tricks, hold up nobody. */

const STDIN = 0
const STDOUT = 1
const STDERR = 2
const PROGRESS_EVERY_MS = 100

async function main(): Promise<void> {
  // Modes are given in full; what the daemon was started with must not take from them.
  process.umask(0)
  const job = JSON.parse(readLine()) as Job
  try {
    say({ type: 'result', result: await run(job) })
  } catch (error) {
    say(errorLine(namedError(error, job)))
  }
}

function run(job: Job): Promise<Jobs[JobKind]['result']> | Jobs[JobKind]['result'] {
  switch (job.kind) {
    case 'take-in':
      return takeIn(job.args, throttled())
    case 'install':
      return install(job.args, throttled())
    case 'uninstall':
      return uninstall(job.args).then(() => null)
    case 'verify':
      return verifyRelease(job.args.appPath, job.args.number)
    case 'verify-slot':
      return verifySlot(job.args)
    case 'remove':
      return removeReleases(job.args.appPath, job.args.numbers).then(() => null)
    case 'remove-app':
      return removeAppReleases(job.args.appPath).then(() => null)
    case 'clean':
      return cleanAll(job.args.appPaths).then(() => null)
    case 'manifest':
      return signedTextOf(job.args)
    case 'writers':
      return findWriters(job.args.path)
    default:
      return job satisfies never
  }
}

/** One app's leftovers are no reason to leave those of another: they are tried again at its next take-in. */
async function cleanAll(appPaths: readonly string[]): Promise<void> {
  const outcomes = await Promise.allSettled(appPaths.map(cleanLeftovers))
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') writeSync(STDERR, `${describeError(outcome.reason)}\n`)
  }
}

/** A progress line that nobody reads any more is EPIPE: that is how a copier learns that its daemon died. */
function throttled(): (progress: Progress) => void {
  let last = 0
  return (progress) => {
    const now = performance.now()
    const isLast = progress.files === progress.totalFiles
    if (now - last < PROGRESS_EVERY_MS && !isLast) return
    last = now
    say({ type: 'progress', progress })
  }
}

function readLine(): string {
  const chunk = Buffer.alloc(64 * 1024)
  let text = ''
  while (!text.endsWith('\n')) {
    const length = readSync(STDIN, chunk)
    if (length === 0) throw new Error('No job on stdin')
    text += chunk.toString('utf8', 0, length)
  }
  return text
}

/** node:readline ends lines at U+2028 and U+2029, too, which JSON leaves as they are; a hostile name may have them. */
function say(line: CopierLine): void {
  const text = JSON.stringify(line).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')
  writeSync(STDOUT, `${text}\n`)
}

function namedError(error: unknown, job: Job): unknown {
  if (!hasCode(error, 'ENOSPC') && !hasCode(error, 'EDQUOT')) return error
  const path = 'workingDir' in job.args ? job.args.workingDir : 'appPath' in job.args ? job.args.appPath : '/'
  return diskFull(path, 'there was no space left while copying', error)
}

function errorLine(error: unknown): CopierLine {
  if (error instanceof DorcError) {
    const { code, message, hint, cause } = error
    const described = cause === undefined || cause === null ? null : describeError(cause)
    return { type: 'error', code, message, hint, cause: described }
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { type: 'error', code: null, message, hint: null, cause: null }
}

const exitNow = libc.func('void _exit(int status)')

await main()
// Everything is on the disk and said: there is nothing that Node could put in order, only threads to wait for.
exitNow(0)
