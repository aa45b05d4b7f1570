import { buildCommand } from '@stricli/core'
import { appArgument, commonFlags, describe, plainFlag, wholeNumber } from '../flags.ts'

export const rollbackCommand = buildCommand({
  loader: async () => (await import('../run/rollback.ts')).rollback,
  parameters: {
    flags: {
      force: plainFlag('Go there even if that release took itself back before'),
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
          brief: 'Number of a kept release (default: what was active before)',
        },
      ],
    },
  },
  docs: describe({
    brief: 'Go back to the release that was active before, or to release N',
    detail: 'At once if a slot still runs it, else by a deploy of it.',
    usage: ['APP [N] [--force]'],
    examples: ['dorc rollback web', 'dorc rollback web 3'],
  }),
})
