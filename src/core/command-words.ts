export type Words =
  | { readonly ok: true; readonly words: string[] }
  | { readonly ok: false; readonly problem: string }

/**
 * A command line as words, as a POSIX shell would split it (XCU 2.2, Quoting); nothing is expanded, and no shell is
 * ever asked.
 */
export function splitCommand(text: string): Words {
  const words: string[] = []
  let word: string | null = null
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at)
    if (BLANKS.includes(character)) {
      if (word !== null) words.push(word)
      word = null
    } else if (character === "'" || character === '"') {
      const quoted = readQuoted(text, at)
      if (quoted === null) return { ok: false, problem: `a ${character} is not closed` }
      word = (word ?? '') + quoted.text
      at = quoted.end
    } else if (character === '\\') {
      at += 1
      if (at === text.length) return { ok: false, problem: 'it ends with a backslash' }
      word = (word ?? '') + text.charAt(at)
    } else {
      word = (word ?? '') + character
    }
  }
  if (word !== null) words.push(word)
  return { ok: true, words }
}

const BLANKS = ' \t\n'
/** Before any other character a backslash in double quotes stands for itself: "a\n" has three characters. */
const ESCAPABLE = '$`"\\'

/** In single quotes a backslash is a character like others, in double quotes before most. */
function readQuoted(text: string, start: number): { text: string; end: number } | null {
  const quote = text.charAt(start)
  let inside = ''
  for (let at = start + 1; at < text.length; at += 1) {
    const character = text.charAt(at)
    if (character === quote) return { text: inside, end: at }
    if (character === '\\' && quote === '"' && ESCAPABLE.includes(text.charAt(at + 1))) {
      at += 1
      inside += text.charAt(at)
    } else {
      inside += character
    }
  }
  return null
}

/** A line that `splitCommand` takes apart into these words again. */
export function joinCommand(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w@%+=:,./{}-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`))
    .join(' ')
}
