import { describeError, DorcError } from '../core/errors.ts'
import { startPackaged, stopPackaged } from './package.ts'

/** What the Debian package's maintainer scripts run: `dorc-package start`, `dorc-package stop`. */
const report = (sentence: string): void => void process.stdout.write(`dorc: ${sentence}\n`)

try {
  if (process.argv[2] === 'start') await startPackaged(report)
  else if (process.argv[2] === 'stop') await stopPackaged(report)
  else throw new DorcError('USAGE', 'Say what to do', { hint: 'One of: start, stop' })
} catch (error) {
  if (!(error instanceof DorcError)) throw error
  process.stderr.write(`dorc: ${describeError(error)} (${error.code})\n${error.hint ?? ''}\n`)
  process.exitCode = 1
}
