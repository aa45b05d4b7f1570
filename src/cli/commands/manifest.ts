import { buildCommand } from '@stricli/core'
import { appArgument, describe, wholeNumber } from '../flags.ts'

export const manifestCommand = buildCommand({
  loader: async () => (await import('../run/manifest.ts')).manifest,
  parameters: {
    flags: {
      serial: {
        kind: 'parsed',
        parse: wholeNumber(1, 999_999_999_999_999),
        optional: true,
        placeholder: 'N',
        brief: 'Number that rises with each release (default: seconds since 1970)',
      },
    },
    positional: {
      kind: 'tuple',
      parameters: [
        appArgument,
        { parse: (text: string) => text, placeholder: 'DIR', brief: 'Directory that is to be uploaded' },
      ],
    },
  },
  docs: describe({
    brief: 'Print the text to be signed for a release',
    detail:
      'Where the release is built, without a daemon. It names the app, the serial, and each file with its hash.',
    usage: ['APP DIR [--serial N]'],
    examples: [
      'dorc manifest web build > build/.dorc-manifest',
      'ssh-keygen -Y sign -n dorc-release -f ci_key build/.dorc-manifest',
    ],
  }),
})
