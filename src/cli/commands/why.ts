import { buildCommand } from '@stricli/core'
import { appArgument, commonFlags, describe, slotFlag } from '../flags.ts'

export const whyCommand = buildCommand({
  loader: async () => (await import('../run/why.ts')).why,
  parameters: {
    flags: {
      slot: { ...slotFlag, brief: 'The slot to look into (default: the one that is in trouble)' },
      ...commonFlags,
    },
    positional: { kind: 'tuple', parameters: [appArgument] },
  },
  docs: describe({
    brief: 'Say why an app or its newest release does not work, and what to do next',
    detail:
      'How its process ended, its last words, its ports, its last probe, and what changed since the last good release.',
    usage: ['APP [--slot blue|green]'],
    examples: ['dorc why web', 'dorc why web --slot green'],
  }),
})
