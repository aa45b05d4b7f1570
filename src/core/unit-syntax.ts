import { DorcError } from './errors.ts'

/**
 * The syntax of unit files (systemd.syntax(7), systemd.service(5) "Command lines", systemd.unit(5) "Specifiers").
 * Everything that comes from outside goes into a unit through one of these functions: no text can end a line, begin
 * a directive or be expanded.
 */

export type Assignment = readonly [key: string, value: string]

export interface Section {
  readonly name: string
  readonly assignments: readonly Assignment[]
}

export function unitText(sections: readonly Section[]): string {
  return sections
    .map(({ name, assignments }) =>
      [`[${name}]`, ...assignments.map(([key, value]) => `${key}=${value}`), ''].join('\n'),
    )
    .join('\n')
}

/**
 * A command line for Exec…=. The `:` prefix turns off the expansion of `$` in all of it; `$$` would not do, because
 * the program's own path is never expanded and would keep both. Throws DEFINITION_INVALID.
 */
export function execCommand(argv: readonly string[]): string {
  const [program = '', ...words] = argv
  return `:${[programPath(program), ...words].map(quoted).join(' ')}`
}

/**
 * The path of a program as systemd will name it. systemd reads prefixes such as `+` (run as root) from the first
 * word's beginning, and takes no relative path; it drops doubled and final slashes and `.` by itself.
 */
export function programPath(path: string): string {
  const simple = `/${path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/')}`
  if (!path.startsWith('/')) throw invalid('The program to run is not an absolute path', path)
  // string_is_safe(), src/basic/string-util.c
  if (/["'\\]/.test(path))
    throw invalid('systemd runs no program with quotes or backslashes in its path', path)
  if (simple === '/' || path.endsWith('/')) throw invalid('The program to run is a directory', path)
  if (simple.split('/').includes('..')) throw invalid('The path of the program to run has ".." in it', path)
  return simple
}

/** For Environment=. Throws DEFINITION_INVALID. */
export function environmentEntry(name: string, value: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw invalid('Not a name of an environment variable', name)
  return quoted(`${name}=${value}`)
}

/** One word, quoted, with specifiers and escapes made literal. Throws DEFINITION_INVALID. */
export function quoted(word: string): string {
  mustBeText(word)
  return `"${word.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%')}"`
}

/** For WorkingDirectory=, which takes the rest of the line as it stands. Throws DEFINITION_INVALID. */
export function barePath(path: string): string {
  mustBeText(path)
  if (!path.startsWith('/')) throw invalid('Not an absolute path', path)
  // Space at the end is cut off, a backslash there joins the next line.
  if (/[\s\\]$/.test(path)) throw invalid('A path in a unit cannot end in a space or a backslash', path)
  return path.replaceAll('%', '%%')
}

/** For User=: a name or a number. Throws DEFINITION_INVALID. */
export function userName(name: string): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(name)) throw invalid('Not a name of a user', name)
  return name
}

/**
 * For BindPaths=, ReadWritePaths= and their kin, whose parsers split at colons and differ in how they unescape.
 * Throws DEFINITION_INVALID for the few characters on which they differ.
 */
export function listedPath(path: string): string {
  if (/["'\\:]/.test(path))
    throw invalid('A path in a sandboxed unit cannot have quotes, backslashes or colons', path)
  return `"${barePath(path)}"`
}

/**
 * systemd drops a whole line that is not UTF-8 by its own rules, which leave out noncharacters as well
 * (unichar_is_valid, src/basic/utf8.c).
 */
function mustBeText(text: string): void {
  if (hasControlCharacter(text)) throw invalid('Control characters are not allowed in a unit', text)
  if (!text.isWellFormed() || hasNoncharacter(text)) throw invalid('Not a text that a unit can hold', text)
}

function hasControlCharacter(text: string): boolean {
  return /\p{Cc}/u.test(text)
}

function hasNoncharacter(text: string): boolean {
  return /\p{Noncharacter_Code_Point}/u.test(text)
}

function invalid(message: string, value: string): DorcError {
  return new DorcError('DEFINITION_INVALID', `${message}: ${JSON.stringify(value)}`)
}
