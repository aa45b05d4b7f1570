import { buildCommand } from '@stricli/core'
import { appArgument, commonFlags, describe, plainFlag } from '../flags.ts'

export const deployCommand = buildCommand({
  loader: async () => (await import('../run/deploy.ts')).deploy,
  parameters: {
    flags: {
      switch: plainFlag('Send new connections to it as soon as it is ready'),
      noWait: plainFlag('Return when the release is taken in'),
      waitLive: plainFlag('With --switch: wait until the bake is over, too'),
      force: plainFlag(
        'Cut connections that the slot still has; take a bad release again, or one that will not fit',
      ),
      ...commonFlags,
    },
    positional: {
      kind: 'tuple',
      parameters: [
        appArgument,
        {
          parse: (text: string) => text,
          optional: true,
          placeholder: 'PATH',
          brief: 'Directory to deploy (default: the upload directory)',
        },
      ],
    },
  },
  docs: describe({
    brief: 'Put a release into the inactive slot, start it there and probe it',
    detail:
      'Ends with status 1 if the release does not get ready; the active slot is never touched.\nCtrl-C stops the following, not the deploy.',
    usage: ['APP [PATH] [--switch] [--wait-live] [--no-wait] [--force]'],
    examples: ['dorc deploy web', 'dorc deploy web ./build --switch'],
  }),
})
