import { buildCommand } from '@stricli/core'
import { appArgument, commonFlags, describe } from '../flags.ts'

export const loadCommand = buildCommand({
  loader: async () => (await import('../run/load.ts')).load,
  parameters: {
    flags: commonFlags,
    positional: { kind: 'tuple', parameters: [appArgument] },
  },
  docs: describe({
    brief: "Read an app's file again after it was edited",
    detail:
      'The listen address moves at once; a slot takes the rest over when it is made anew\n(deploy, restart). Needs root.',
    usage: ['APP'],
    examples: ['sudoedit /etc/dorc/apps/web.toml && dorc load web'],
  }),
})
