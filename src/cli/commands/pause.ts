import { buildCommand } from '@stricli/core'
import { appArgument, commonFlags, describe } from '../flags.ts'

export const pauseCommand = buildCommand({
  loader: async () => (await import('../run/pause.ts')).pause,
  parameters: {
    flags: commonFlags,
    positional: { kind: 'tuple', parameters: [appArgument] },
  },
  docs: describe({
    brief: 'Hold new connections of an app',
    detail:
      'They wait until dorc resume, each at most the hold_timeout of the app. Connections that exist go on.\nIt stays paused over a reboot.',
    usage: ['APP'],
    examples: ['dorc pause web', 'dorc resume web'],
  }),
})

export const resumeCommand = buildCommand({
  loader: async () => (await import('../run/pause.ts')).resume,
  parameters: {
    flags: commonFlags,
    positional: { kind: 'tuple', parameters: [appArgument] },
  },
  docs: describe({
    brief: 'Let new connections of an app through again',
    detail: 'Those that wait first.',
    usage: ['APP'],
    examples: ['dorc resume web'],
  }),
})
