import { buildCommand } from '@stricli/core'
import { appArgument, commonFlags, describe, plainFlag } from '../flags.ts'

export const removeCommand = buildCommand({
  loader: async () => (await import('../run/remove.ts')).remove,
  parameters: {
    flags: {
      purge: plainFlag('Delete its releases, working directories and data, too'),
      yes: plainFlag('Do not ask'),
      ...commonFlags,
    },
    aliases: { y: 'yes' },
    positional: { kind: 'tuple', parameters: [appArgument] },
  },
  docs: describe({
    brief: 'Stop an app and forget it',
    detail: 'What it stored stays, unless --purge is given. Needs root.',
    usage: ['APP [--purge] [--yes]'],
    examples: ['dorc remove web', 'dorc remove web --purge --yes'],
  }),
})
