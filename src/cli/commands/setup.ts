import { buildCommand } from '@stricli/core'
import { commonFlags, describe, plainFlag } from '../flags.ts'

export const setupCommand = buildCommand({
  loader: async () => (await import('../run/setup.ts')).setup,
  parameters: {
    flags: {
      remove: plainFlag("Undo it: take dorc's units off this host"),
      purge: plainFlag('With --remove: delete apps, releases and state, too'),
      yes: plainFlag('Do not ask'),
      json: commonFlags.json,
    },
    aliases: { y: 'yes' },
  },
  docs: describe({
    brief: 'Install dorc on this host: its units, its directories, the group dorc',
    detail: 'Starts the daemon and the relay, now and at boot. Can be run again at any time. Needs root.',
    usage: ['', '--remove [--purge] [--yes]'],
    examples: ['sudo dorc setup', 'sudo dorc setup --remove'],
  }),
})
