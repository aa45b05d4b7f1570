import { buildCommand } from '@stricli/core'
import { appArgument, commonFlags, describe, plainFlag, wholeNumber } from '../flags.ts'

export const drillCommand = buildCommand({
  loader: async () => (await import('../run/drill.ts')).drill,
  parameters: {
    flags: {
      switches: {
        kind: 'parsed',
        parse: wholeNumber(1, 1_000),
        default: '10',
        placeholder: 'N',
        brief: 'How many switches',
      },
      hold: {
        kind: 'parsed',
        parse: wholeNumber(0, 1_000),
        default: '5',
        placeholder: 'N',
        brief: 'How many connections to hold open all the while',
      },
      killDaemon: plainFlag('Kill the daemon in the middle (SIGKILL); systemd starts it again'),
      ...commonFlags,
    },
    positional: { kind: 'tuple', parameters: [appArgument] },
  },
  docs: describe({
    brief: 'Rehearse switches on a live app, under load, and report',
    detail:
      'Switches to and fro under its own load through the listen address: users meet the release of the other slot meanwhile.\nThe active slot is in the end what it was, also after Ctrl-C or a failure. Refused (status 3) if a slot is not ready or a deploy is under way.',
    usage: ['APP [--switches N] [--kill-daemon]'],
    examples: ['dorc drill web', 'sudo dorc drill web --switches 100 --kill-daemon'],
  }),
})
