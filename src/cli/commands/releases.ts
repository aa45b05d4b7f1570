import { buildCommand } from '@stricli/core'
import { appArgument, commonFlags, describe } from '../flags.ts'

export const releasesCommand = buildCommand({
  loader: async () => (await import('../run/releases.ts')).releases,
  parameters: {
    flags: commonFlags,
    positional: { kind: 'tuple', parameters: [appArgument] },
  },
  docs: describe({
    brief: 'Show the releases that are kept, newest first',
    usage: ['APP'],
    examples: ['dorc releases web', 'dorc rollback web 3'],
  }),
})
