import { buildCommand } from '@stricli/core'
import { appArgument, commonFlags, describe, plainFlag, wholeNumber } from '../flags.ts'

export const releasesCommand = buildCommand({
  loader: async () => (await import('../run/releases.ts')).releases,
  parameters: {
    flags: {
      verify: plainFlag('Read the files again and name each that is not as it was taken in'),
      ...commonFlags,
    },
    positional: {
      kind: 'tuple',
      parameters: [
        appArgument,
        {
          parse: wholeNumber(1),
          optional: true,
          placeholder: 'N',
          brief: 'With --verify: only this release (default: all)',
        },
      ],
    },
  },
  docs: describe({
    brief: 'Show the releases that are kept, newest first',
    detail: 'With --verify exit status 1 tells that a file was changed, is missing or is one too many.',
    usage: ['APP', 'APP --verify [N]'],
    examples: ['dorc releases web', 'dorc releases web --verify', 'dorc rollback web 3'],
  }),
})
