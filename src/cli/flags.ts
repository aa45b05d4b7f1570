import { resolve } from 'node:path'

/** Flags and arguments that several commands share. */

/** A flag that is off unless it is given. */
export const plainFlag = (brief: string) =>
  ({ kind: 'boolean', optional: true, withNegated: false, brief }) as const

/** A flag with a text of the operator's own. */
export const textFlag = (brief: string, placeholder: string) =>
  ({ kind: 'parsed', parse: (text: string) => text, optional: true, placeholder, brief }) as const

export const commonFlags = {
  json: plainFlag('Print JSON for programs'),
  root: {
    kind: 'parsed',
    parse: (text: string) => resolve(text),
    optional: true,
    placeholder: 'DIR',
    brief: 'Talk to the embedded daemon under DIR (or set DORC_ROOT)',
  },
} as const

export const appArgument = {
  parse: (text: string) => text,
  placeholder: 'APP',
  brief: 'Name of the app',
} as const

export const slotFlag = {
  kind: 'enum',
  values: ['blue', 'green'],
  optional: true,
  brief: 'Only this slot',
} as const

/** A whole number of `minimum` or more. */
export const wholeNumber =
  (minimum: number, maximum = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < minimum || value > maximum) {
      throw new Error(
        maximum === Number.MAX_SAFE_INTEGER
          ? `it is not a whole number from ${minimum}`
          : `it is not a whole number from ${minimum} to ${maximum}`,
      )
    }
    return value
  }

export interface Description {
  readonly brief: string
  /** What else has to be known, in whole sentences. */
  readonly detail?: string
  /** Arguments and flags behind the name of the command, one line for each way to type it. */
  readonly usage: readonly string[]
  readonly examples: readonly string[]
}

/** What a command's --help opens with: how it is typed, what it does, examples. */
export function describe({ brief, detail, usage, examples }: Description) {
  const about = detail === undefined ? `${brief}.` : `${brief}.\n${detail}`
  const shown = examples.map((example) => `  $ ${example}`).join('\n')
  return { brief, fullDescription: `${about}\n\nEXAMPLES\n${shown}`, customUsage: usage }
}
