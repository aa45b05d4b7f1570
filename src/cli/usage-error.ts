import { ArgumentScannerError, formatMessageForArgumentScannerError } from '@stricli/core'
import { describeError, DorcError } from '../core/errors.ts'

/** No command of that name: says which one may have been meant. */
export function unknownCommand(input: string, corrections: readonly string[]): DorcError {
  const names = corrections.map((name) => name.replaceAll('`', ''))
  const hint =
    names.length === 0
      ? 'See: dorc --help'
      : `Did you mean: ${names.map((name) => `dorc ${name}`).join(', or ')}`
  return new DorcError('USAGE', `Unknown command "${input}"`, { hint })
}

/** Flags or arguments that do not fit `command`. */
export function wrongArguments(command: string, problem: unknown): DorcError {
  const seeHelp = `See: dorc ${command} --help`
  if (!(problem instanceof ArgumentScannerError))
    return new DorcError('USAGE', describeError(problem), { hint: seeHelp })
  let hint = seeHelp
  const message = formatMessageForArgumentScannerError(problem, {
    FlagNotFoundError: ({ input, corrections }) => {
      if (corrections.length > 0)
        hint = `Did you mean: ${corrections.map((name) => `--${name}`).join(', or ')}`
      return `Unknown flag "--${input}"`
    },
    AliasNotFoundError: ({ input }) => `Unknown flag "-${input}"`,
    EnumValidationError: ({ externalFlagName, input, values }) =>
      `--${externalFlagName} cannot be "${input}", but ${values.join(' or ')}`,
    ArgumentParseError: ({ externalFlagNameOrPlaceholder: name, input, exception }) =>
      `Cannot take "${input}" for ${name === name.toUpperCase() ? name : `--${name}`}: ${describeError(exception)}`,
    UnsatisfiedFlagError: ({ externalFlagName }) => `--${externalFlagName} needs a value`,
    UnsatisfiedPositionalError: ({ placeholder }) => `${placeholder} is missing`,
    UnexpectedPositionalError: ({ input }) => `"${input}" is one argument too many`,
    UnexpectedFlagError: ({ externalFlagName }) => `--${externalFlagName} is given twice`,
  })
  return new DorcError('USAGE', message, { hint })
}
