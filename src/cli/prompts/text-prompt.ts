import {
  createPrompt,
  isBackspaceKey,
  isEnterKey,
  isTabKey,
  useEffect,
  useKeypress,
  useRef,
  useState,
} from '@inquirer/core'
import { paintFor } from '../paint.ts'

export interface Completion {
  /** What the answer becomes. */
  readonly answer: string
  /** What it may go on with, if there is more than one way. */
  readonly candidates: readonly string[]
}

export interface Question {
  readonly message: string
  /** What Enter takes. */
  readonly default: string
  /** How that is shown, where the answer itself says little: an empty one. */
  readonly shownDefault?: string
  /** Why `answer` will not do; null: it will. */
  readonly problem?: (answer: string) => Promise<string | null> | string | null
  readonly complete?: (typed: string) => Promise<Completion>
}

/**
 * Asks one question on the terminal, in the look of the original's wizard: `? Message (default) › answer`, then
 * `✔ Message · answer`. Problems appear under the line as it is typed. Rejects with an error that
 * isCancelled() knows on Ctrl-C and on the end of the input.
 */
export function askText(question: Question): Promise<string> {
  const ended = new AbortController()
  return textPrompt({ ...question, onEnd: () => ended.abort() }, { signal: ended.signal })
}

interface PromptConfig extends Question {
  readonly onEnd: () => void
}

type Note = { readonly kind: 'none' | 'problem' | 'refusal' | 'candidates'; readonly text: string }
const noNote: Note = { kind: 'none', text: '' }

const textPrompt = createPrompt<string, PromptConfig>((config, done) => {
  const [status, setStatus] = useState<'idle' | 'checking' | 'done'>('idle')
  const [typed, setTyped] = useState('')
  const [note, setNote] = useState<Note>(noNote)
  // Answers of checks may come out of order; only that of the newest text counts.
  const checks = useRef(0)

  useEffect((readline) => {
    readline.on('close', config.onEnd)
  }, [])

  const showProblem = async (text: string): Promise<void> => {
    checks.current += 1
    const check = checks.current
    const problem = text === '' ? null : await config.problem?.(text)
    if (check === checks.current) {
      setNote(problem === null || problem === undefined ? noNote : { kind: 'problem', text: problem })
    }
  }

  useKeypress(async (key, readline) => {
    if (status !== 'idle') return
    if (isEnterKey(key)) {
      const answer = typed.trim() === '' ? config.default : typed.trim()
      setStatus('checking')
      checks.current += 1
      const problem =
        answer === '' && config.shownDefault !== undefined ? null : await config.problem?.(answer)
      if (problem === null || problem === undefined) {
        setTyped(answer)
        setNote(noNote)
        setStatus('done')
        done(answer)
        return
      }
      // Readline empties its line on Enter; the operator wants to mend it, not to type it again.
      readline.write(typed)
      setNote({ kind: 'refusal', text: problem })
      setStatus('idle')
    } else if (isTabKey(key)) {
      const completion = await completed(config, typed)
      readline.clearLine(0)
      readline.write(completion.answer)
      setTyped(completion.answer)
      if (completion.candidates.length > 1) {
        checks.current += 1
        setNote({ kind: 'candidates', text: completion.candidates.join('  ') })
      } else await showProblem(completion.answer)
    } else if (!(isBackspaceKey(key) && typed === '')) {
      setTyped(readline.line)
      await showProblem(readline.line)
    }
  })

  return render({ config, status, typed, note })
})

/** Tab on an empty line takes the default, to be edited. */
async function completed({ default: fallback, complete }: PromptConfig, typed: string): Promise<Completion> {
  if (typed === '' && fallback !== '') return { answer: fallback, candidates: [] }
  return (await complete?.(typed)) ?? { answer: typed, candidates: [] }
}

interface View {
  readonly config: Question
  readonly status: 'idle' | 'checking' | 'done'
  readonly typed: string
  readonly note: Note
}

function render({ config, status, typed, note }: View): [string, string] {
  const paint = paintFor(process.stdout)
  const message = paint.bold(config.message)
  const shownDefault = config.shownDefault ?? config.default
  if (status === 'done') {
    return [
      `${paint.good('✔')} ${message} ${paint.dim('·')} ${paint.good(typed === '' ? shownDefault : typed)}`,
      '',
    ]
  }
  const offer = shownDefault === '' || typed !== '' ? '' : ` ${paint.dim(`(${shownDefault})`)}`
  return [`${paint.warn('?')} ${message}${offer} ${paint.dim('›')} ${typed}`, renderNote(note)]
}

function renderNote({ kind, text }: Note): string {
  const paint = paintFor(process.stdout)
  switch (kind) {
    case 'none':
      return ''
    case 'problem':
      return paint.warn(`  ${text}`)
    case 'refusal':
      return paint.bad(`✘ ${text}`)
    case 'candidates':
      return paint.dim(`  ${text}`)
    default:
      return kind satisfies never
  }
}
