import { stripVTControlCharacters } from 'node:util'

export interface Column {
  readonly title: string
  readonly align?: 'right'
}

/** Rows under their titles, two spaces apart; cells may carry colours. No trailing spaces. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const titles = columns.map(({ title }) => title)
  const lines = columns.some(({ title }) => title !== '') ? [titles, ...rows] : rows
  const widths = columns.map((_, at) => Math.max(0, ...lines.map((line) => widthOf(line[at] ?? ''))))
  return lines.map((line) =>
    columns
      .map(({ align }, at) => pad(line[at] ?? '', widths[at] ?? 0, align))
      .join('  ')
      .trimEnd(),
  )
}

/** Columns that the text takes on a terminal, colours not counted. */
export function widthOf(text: string): number {
  return Array.from(stripVTControlCharacters(text)).length
}

/** At most `width` columns of a text without colours; what is cut off shows as `…`. */
export function shorten(text: string, width: number): string {
  const letters = Array.from(text)
  return letters.length <= width ? text : `${letters.slice(0, Math.max(0, width - 1)).join('')}…`
}

/** Lines of at most `width` columns, broken between words; a word that is wider stays whole. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line === undefined || widthOf(line) + 1 + widthOf(word) > width) lines.push(word)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines
}

function pad(text: string, width: number, align: Column['align']): string {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)))
  return align === 'right' ? `${space}${text}` : `${text}${space}`
}
