import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { otherSlot, type Slot } from '../../core/app.ts'
import { DorcError, hasCode } from '../../core/errors.ts'
import type { Paint } from '../paint.ts'
import { completePath } from '../prompts/path-completion.ts'
import { askText, type Question } from '../prompts/text-prompt.ts'
import type { Answers, Given, GivenSlot } from './answers.ts'
import type { Draft } from './draft.ts'
import { executableProblem, guessExecutable, guessStart } from './executables.ts'

const FIRST_LISTEN_PORT = 8080
const LISTEN_PORTS_TRIED = 20

export interface Wizard {
  readonly draft: Draft
  readonly paint: Paint
  readonly say: (line: string) => void
}

/**
 * The original's questions in its order and wording, each with a default; those that flags have answered are
 * left out. Nothing is changed by it.
 */
export async function askAnswers(wizard: Wizard): Promise<Answers> {
  const { draft, paint, say } = wizard
  await refuseWrongFlags(draft)
  await askApp(draft)
  const name = draft.given.name ?? ''
  say('')
  say(`This tool is for ${paint.blue('blue')}/${paint.green('green')} deployments.`)
  say(`Let's configure ${paint.name(name)}'s sub-services.`)
  say(paint.dim('Commands may say {executable}, {port}, {dir}; the port is in $PORT, too.'))
  for (const slot of ['blue', 'green'] as const) {
    say('')
    say(paint[slot](`Configuring '${slot}-${name}'`))
    await askSlot(draft, slot)
  }
  return draft.complete()
}

/** Each answer is judged together with those before it: what is wrong from the start would be held against all. */
async function refuseWrongFlags(draft: Draft): Promise<void> {
  const problem = await draft.problem({})
  if (problem !== null) throw new DorcError('USAGE', `Cannot register with these flags: ${problem}`)
}

async function askApp(draft: Draft): Promise<void> {
  await answer(draft, 'name', {
    message: 'App name',
    default: '',
    problem: (name) => nameProblem(draft, name),
  })
  const { name, uploadDir } = draft.complete()
  await answer(draft, 'uploadDir', {
    message: 'Release location',
    default: uploadDir,
    problem: (typed) => uploadDirProblem(draft, withoutSlash(typed)),
    complete: (typed) => completePath(typed, '/'),
  })
  const location = draft.complete().uploadDir
  await answer(draft, 'executable', {
    message: 'Release executable',
    default: (await guessExecutable(location, name)) ?? name,
    problem: async (path) =>
      (await draft.problem({ executable: path })) ?? (await executableProblem(location, path)),
    complete: (typed) => completePath(typed, location),
  })
  await answer(draft, 'listen', {
    message: 'Listen port',
    default: draft.given.listen ?? (await freeListenPort(draft)),
    problem: (listen) => draft.problem({ listen }),
  })
}

async function askSlot(draft: Draft, slot: Slot): Promise<void> {
  await answerSlot(draft, slot, 'workingDir', {
    message: 'Working dir',
    default: draft.complete().slots[slot].workingDir,
    problem: (typed) => draft.problem(withSlot(draft.given, slot, { workingDir: withoutSlash(typed) })),
    complete: (typed) => completePath(typed, '/'),
  })
  await answerSlot(draft, slot, 'port', {
    message: 'Service address',
    default: String(draft.complete().slots[slot].port),
    problem: (text) => portProblem(draft, slot, text),
  })
  const command = (key: 'start' | 'stop' | 'reload') => (text: string) =>
    draft.problem(withSlot(draft.given, slot, { [key]: text }))
  await answerSlot(draft, slot, 'start', {
    message: 'Start command',
    default: await proposedStart(draft, slot),
    problem: command('start'),
  })
  const blue = draft.given.slots.blue
  await answerSlot(draft, slot, 'stop', {
    message: 'Stop command',
    ...orNone(slot === 'green' ? blue.stop : '', 'SIGTERM'),
    problem: command('stop'),
  })
  await answerSlot(draft, slot, 'reload', {
    message: 'Reload command',
    ...orNone(slot === 'green' ? blue.reload : '', 'none'),
    problem: command('reload'),
  })
}

async function answer(
  draft: Draft,
  key: 'name' | 'uploadDir' | 'executable' | 'listen',
  question: Question,
): Promise<void> {
  if (draft.given[key] !== undefined) return
  const text = await askText(question)
  draft.given = { ...draft.given, [key]: key === 'uploadDir' ? withoutSlash(text) : text }
}

async function answerSlot(draft: Draft, slot: Slot, key: keyof GivenSlot, question: Question): Promise<void> {
  if (draft.given.slots[slot][key] !== undefined) return
  const text = await askText(question)
  const value = key === 'port' ? Number(text) : key === 'workingDir' ? withoutSlash(text) : text
  draft.given = withSlot(draft.given, slot, { [key]: value })
}

/** Tab puts one behind a directory. */
const withoutSlash = (path: string): string => path.replace(/(?<=.)\/+$/, '')

function withSlot(given: Given, slot: Slot, change: Partial<GivenSlot>): Given {
  return { ...given, slots: { ...given.slots, [slot]: { ...given.slots[slot], ...change } } }
}

const nameProblem = (draft: Draft, name: string): Promise<string | null> | string =>
  name === '' ? 'It needs a name' : draft.problem({ name })

function portProblem(draft: Draft, slot: Slot, text: string): Promise<string | null> | string {
  if (!/^\d{1,5}$/.test(text)) return 'It is a port, a number from 1 to 65535'
  return draft.problem(withSlot(draft.given, slot, { port: Number(text) }))
}

/** dorc makes the directory, but not what it would lie in. */
async function uploadDirProblem(draft: Draft, path: string): Promise<string | null> {
  const problem = await draft.problem({ uploadDir: path })
  if (problem !== null) return problem
  const found = await kindOf(path)
  if (found === 'file') return `"${path}" is not a directory`
  if (found === 'directory' || (await kindOf(dirname(path))) === 'directory') return null
  return `"${dirname(path)}" does not exist`
}

async function kindOf(path: string): Promise<'file' | 'directory' | 'nothing'> {
  try {
    return (await stat(path)).isDirectory() ? 'directory' : 'file'
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return 'nothing'
    throw error
  }
}

async function freeListenPort(draft: Draft): Promise<string> {
  for (let port = FIRST_LISTEN_PORT; port < FIRST_LISTEN_PORT + LISTEN_PORTS_TRIED; port += 1) {
    if ((await draft.problem({ listen: String(port) })) === null) return String(port)
  }
  return draft.complete().listen
}

/** Green is started as blue is; where blue's command names a port, with its own. */
async function proposedStart(draft: Draft, slot: Slot): Promise<string> {
  const { uploadDir, executable, slots } = draft.complete()
  const other = draft.given.slots[otherSlot(slot)].start
  if (slot === 'blue' || other === undefined) return guessStart(uploadDir, executable)
  return other.replaceAll(String(slots.blue.port), String(slots.green.port))
}

const orNone = (text: string | undefined, none: string): Pick<Question, 'default' | 'shownDefault'> =>
  text === undefined || text === '' ? { default: '', shownDefault: none } : { default: text }
