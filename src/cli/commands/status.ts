import { buildCommand } from '@stricli/core'
import { appArgument, commonFlags, describe } from '../flags.ts'

export const statusCommand = buildCommand({
  loader: async () => (await import('../run/status.ts')).status,
  parameters: {
    flags: commonFlags,
    positional: { kind: 'tuple', parameters: [{ ...appArgument, optional: true }] },
  },
  docs: describe({
    brief: 'Show apps, their slots and what to do next',
    detail: 'The slot marked ● is the active one: new connections go there.',
    usage: ['[APP]'],
    examples: ['dorc status', 'dorc status web --json'],
  }),
})
