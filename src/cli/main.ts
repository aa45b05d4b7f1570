import { run } from '@stricli/core'
import { commands, dorcApplication } from './application.ts'
import { errorDocument, errorText } from './error-text.ts'
import { EXIT_INTERRUPTED, exitCodeOf } from './exit-codes.ts'
import { overview } from './overview.ts'
import { paintFor } from './paint.ts'
import { isCancelled } from './prompts/cancelled.ts'

/** `dorc --root DIR status` is `dorc status --root DIR`: Stricli wants flags behind the command. */
function commandFirst(words: readonly string[]): string[] {
  const flags = words[0] === '--root' ? 2 : words[0]?.startsWith('--root=') || words[0] === '--json' ? 1 : 0
  if (flags === 0 || words.length <= flags) return [...words]
  const [command = '', ...rest] = commandFirst(words.slice(flags))
  return [command, ...words.slice(0, flags), ...rest]
}

async function main(typed: readonly string[]): Promise<void> {
  const words = commandFirst(typed)
  const [command = '--help'] = words
  if (command === '--help' || command === '-h' || command === 'help') {
    process.stdout.write(overview(commands))
    return
  }
  let failure: { readonly error: unknown } | null = null
  const fail = (error: unknown): void => void (failure ??= { error })
  await run(dorcApplication(command, fail), words, {
    process: {
      stdout: process.stdout,
      stderr: { write: () => undefined },
      env: process.env,
      get exitCode() {
        return process.exitCode ?? null
      },
      set exitCode(code) {
        process.exitCode = typeof code === 'number' ? code : 1
      },
    },
  })
  if (failure !== null) report(failure, words.includes('--json'))
}

function report({ error }: { readonly error: unknown }, isJson: boolean): void {
  if (isCancelled(error)) {
    process.stderr.write('Nothing changed\n')
    process.exitCode = EXIT_INTERRUPTED
    return
  }
  if (isJson) process.stdout.write(`${JSON.stringify(errorDocument(error))}\n`)
  process.stderr.write(`${errorText(error, paintFor(process.stderr))}\n`)
  process.exitCode = exitCodeOf(error)
}

// `dorc logs web | head`: the reader has seen enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})

await main(process.argv.slice(2))
