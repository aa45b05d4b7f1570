import { describeError, DorcError } from '../../../src/core/errors.ts'
import { removeSetup } from '../../../src/setup/remove-setup.ts'
import { setup } from '../../../src/setup/setup.ts'

/** `setup`, `remove` or `purge`, inside the machine; prints what was done, and fails with code, message and hint. */
const report = (sentence: string): void => console.log(sentence)
try {
  if (process.argv[2] === 'setup') await setup(report)
  else await removeSetup(report, { purge: process.argv[2] === 'purge' })
} catch (error) {
  if (!(error instanceof DorcError)) throw error
  console.error(`${error.code}: ${describeError(error)}\n${error.hint}`)
  process.exitCode = 1
}
