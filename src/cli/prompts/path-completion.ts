import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { plainText } from '../plain-text.ts'
import type { Completion } from './text-prompt.ts'

/** How many candidates fit under a question. */
const SHOWN = 12

/**
 * Completes the path that is being typed as far as it is clear, the way shells do. A relative one is meant
 * inside `base`.
 */
export async function completePath(typed: string, base: string): Promise<Completion> {
  const typedDir = typed.endsWith('/')
    ? typed
    : typed === '' || !typed.includes('/')
      ? ''
      : `${dirname(typed)}/`.replace('//', '/')
  const beginning = typed.slice(typedDir.length)
  const names = await namesIn(typedDir.startsWith('/') ? typedDir : join(base, typedDir))
  const matches = names.filter(
    (name) => name.startsWith(beginning) && (beginning !== '' || !name.startsWith('.')),
  )
  if (matches.length === 0) return { answer: typed, candidates: [] }
  const shown = matches.length > SHOWN ? [...matches.slice(0, SHOWN), '…'] : matches
  return { answer: `${typedDir}${commonBeginning(matches)}`, candidates: shown.map(plainText) }
}

/** Directories end in a slash. What cannot be read has nothing to complete with. */
async function namesIn(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true })
    return entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort()
  } catch (error) {
    if (error instanceof Error && 'code' in error) return []
    throw error
  }
}

function commonBeginning(words: readonly string[]): string {
  const [first = '', ...rest] = words
  let length = first.length
  for (const word of rest) {
    while (!word.startsWith(first.slice(0, length))) length -= 1
  }
  return first.slice(0, length)
}
