import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { describeError, DorcError } from '../core/errors.ts'
import { bootId, systemClock } from '../platform/clock.ts'
import { closeFilesOnExec } from '../platform/close-on-exec.ts'
import { stdoutLogger } from '../platform/log.ts'
import { pathsUnder } from '../platform/paths.ts'
import { VERSION as version } from '../platform/version.ts'
import { startDaemon } from './daemon.ts'
import type { AdapterContext, Built } from './adapters.ts'

/** `dorcd`, under systemd; `dorcd --embedded --root DIR` runs slots as child processes, with all files under DIR. */
const { values } = parseArgs({
  options: { embedded: { type: 'boolean', default: false }, root: { type: 'string' } },
})
const log = stdoutLogger()

try {
  await main()
} catch (error) {
  if (error instanceof DorcError) log.error('start-failed', { error: describeError(error), hint: error.hint })
  else
    log.error('start-failed', {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
  process.exit(1)
}

async function main(): Promise<void> {
  closeFilesOnExec()
  // Whoever reads the log may go away (EPIPE); the daemon must not go with it.
  process.stdout.on('error', () => null)
  if (values.embedded && values.root === undefined)
    throw new DorcError('USAGE', '--embedded needs --root DIR')
  const paths = pathsUnder(values.embedded ? resolve(values.root ?? '') : '/')
  const context = { paths, clock: systemClock, log }
  const built = await buildAdapters(context)
  const daemon = await startDaemon(
    { adapters: built.adapters, clock: systemClock, log, paths, bootId: bootId() },
    {
      version: { version, supervisor: built.adapters.supervisor.name, pid: process.pid },
      groupId: built.groupId,
    },
  )
  built.onReady()
  log.info('started', { version, socket: paths.socket })
  const stop = async (): Promise<void> => {
    await daemon[Symbol.asyncDispose]()
    await built[Symbol.asyncDispose]()
    log.info('stopped')
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      stop().catch((error: unknown) => {
        log.error('stop-failed', { error })
        process.exit(1)
      })
    })
  }
}

/** Only the mode that is used is loaded: the other one's libraries would cost memory for nothing. */
async function buildAdapters(context: AdapterContext): Promise<Built> {
  if (values.embedded) return (await import('./embedded-adapters.ts')).embeddedAdapters(context)
  return (await import('./systemd-adapters.ts')).systemdAdapters(context)
}
