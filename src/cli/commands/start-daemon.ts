import { buildCommand } from '@stricli/core'
import { commonFlags, describe, plainFlag } from '../flags.ts'

export const startDaemonCommand = buildCommand({
  loader: async () => (await import('../run/start-daemon.ts')).startDaemon,
  parameters: {
    flags: {
      embedded: plainFlag('Without systemd and without root: slots are child processes'),
      ...commonFlags,
    },
  },
  docs: describe({
    brief: 'Run the daemon in the foreground',
    detail: 'systemd does this by itself after dorc setup. With --embedded everything lies under --root.',
    usage: ['', '--embedded --root DIR'],
    examples: ['dorc start-daemon --embedded --root ~/dorc-trial'],
  }),
})
