import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'

const DEADLINE_MS = 60_000
const LOOK_EVERY_MS = 20

/** What a person types with; the names are those of the keys. */
export const KEYS = { enter: '\r', tab: '\t', ctrlC: '\u0003', backspace: '\u007f' } as const

/** A command on a terminal of its own, 100 columns wide: script(1) makes it, and we type. */
export class Terminal implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #ended: Promise<number | null>
  #output = ''
  #seenTo = 0

  constructor(argv: readonly string[], env: NodeJS.ProcessEnv) {
    const command = `stty cols 100 rows 40; exec ${argv.map(quoted).join(' ')}`
    this.#child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
      // A person's terminal: with CI in the environment Node shows no colours.
      env: { ...process.env, CI: undefined, TERM: 'xterm-256color', ...env },
    })
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => (this.#output += text))
    this.#ended = new Promise((resolve) => this.#child.once('close', resolve))
  }

  type(text: string): void {
    this.#child.stdin.write(text)
  }

  /** Waits until `expected` is shown behind what was waited for before. */
  async shows(expected: RegExp): Promise<void> {
    const until = Date.now() + DEADLINE_MS
    for (;;) {
      const text = stripVTControlCharacters(this.#output)
      const found = expected.exec(text.slice(this.#seenTo))
      if (found !== null) {
        this.#seenTo += found.index + found[0].length
        return
      }
      if (Date.now() > until) throw new Error(`Not shown: ${String(expected)}\n${text}`)
      await sleep(LOOK_EVERY_MS)
    }
  }

  /** Answers a question: waits for it, types, and waits until the answer is taken. */
  async answer(question: string, text = ''): Promise<void> {
    await this.shows(new RegExp(`\\? ${question}.*›`))
    this.type(text)
    if (text !== '') await this.shows(new RegExp(`\\? ${question}.*› ${escaped(text)}`))
    this.type(KEYS.enter)
    await this.shows(new RegExp(`✔ ${question} · `))
  }

  /** Its exit status. */
  ended(): Promise<number | null> {
    return this.#ended
  }

  get colouredText(): string {
    return this.#output
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`
const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
