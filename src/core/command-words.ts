/** A command line as words, as a shell would split it; nothing is expanded, and no shell is ever asked. */
export type Words =
  | { readonly ok: true; readonly words: string[] }
  | { readonly ok: false; readonly problem: string }

export function splitCommand(text: string): Words {
  const words: string[] = []
  let word: string | null = null
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at)
    if (/\s/.test(character)) {
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

/** In double quotes a backslash takes the next character as it is; in single quotes it is a character like others. */
function readQuoted(text: string, start: number): { text: string; end: number } | null {
  const quote = text.charAt(start)
  let inside = ''
  for (let at = start + 1; at < text.length; at += 1) {
    const character = text.charAt(at)
    if (character === quote) return { text: inside, end: at }
    if (character === '\\' && quote === '"' && at + 1 < text.length) {
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
