import { EXIT_INTERRUPTED } from './exit-codes.ts'

/**
 * Runs `work` with a signal that Ctrl-C aborts. Then `farewell` tells what goes on without us, and the exit
 * status is that of an interrupted program.
 */
export async function untilInterrupted(
  work: (signal: AbortSignal) => Promise<void>,
  farewell: () => string | null,
): Promise<void> {
  const controller = new AbortController()
  const interrupt = (): void => controller.abort()
  process.once('SIGINT', interrupt)
  try {
    await work(controller.signal)
  } finally {
    process.off('SIGINT', interrupt)
  }
  if (!controller.signal.aborted) return
  const text = farewell()
  if (text === null) return
  process.stderr.write(`${text}\n`)
  process.exitCode = EXIT_INTERRUPTED
}
