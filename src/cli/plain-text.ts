import { stripVTControlCharacters } from 'node:util'

/** C0 and C1 controls, and what turns the direction of text around (Unicode UAX #9), which Node's own function leaves in. */
// oxlint-disable-next-line no-control-regex -- taking controls out is what this is for
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/** One line that cannot move the cursor, colour the terminal, or show words in another order than they are in. */
export function plainText(untrusted: string): string {
  return stripVTControlCharacters(untrusted.replaceAll('\t', '  ')).replaceAll(UNPRINTABLE, '')
}
