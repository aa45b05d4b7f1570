import { buildCommand } from '@stricli/core'
import { appArgument, commonFlags, describe, plainFlag, slotFlag } from '../flags.ts'

export const switchCommand = buildCommand({
  loader: async () => (await import('../run/switch.ts')).switchSlot,
  parameters: {
    flags: {
      to: { ...slotFlag, brief: 'The slot to switch to (default: the other one)' },
      force: plainFlag('Switch even to a slot that is not ready; it is recorded'),
      ...commonFlags,
    },
    positional: { kind: 'tuple', parameters: [appArgument] },
  },
  docs: describe({
    brief: 'Send new connections to the other slot',
    detail:
      'Connections that exist stay where they are. Again: back.\nRefused (status 3) if that slot is not ready.',
    usage: ['APP [--to blue|green] [--force]'],
    examples: ['dorc switch web', 'dorc switch web --to blue'],
  }),
})
