import { buildCommand } from '@stricli/core'
import { appArgument, commonFlags, describe, plainFlag, slotFlag, wholeNumber } from '../flags.ts'

const linesFlag = (brief: string) =>
  ({ kind: 'parsed', parse: wholeNumber(0, 100_000), default: '20', placeholder: 'N', brief }) as const

export const logsCommand = buildCommand({
  loader: async () => (await import('../run/logs.ts')).logs,
  parameters: {
    flags: {
      follow: plainFlag('Go on with what comes, until Ctrl-C'),
      lines: linesFlag('How many of the last lines'),
      slot: slotFlag,
      ...commonFlags,
    },
    aliases: { f: 'follow', n: 'lines' },
    positional: { kind: 'tuple', parameters: [appArgument] },
  },
  docs: describe({
    brief: 'Show what an app printed',
    usage: ['APP [-f] [-n N] [--slot blue|green]'],
    examples: ['dorc logs web -f', 'dorc logs web --slot green -n 100'],
  }),
})

export const eventsCommand = buildCommand({
  loader: async () => (await import('../run/logs.ts')).events,
  parameters: {
    flags: {
      follow: plainFlag('Go on with what comes, until Ctrl-C'),
      lines: linesFlag('How many of the last events'),
      ...commonFlags,
    },
    aliases: { f: 'follow', n: 'lines' },
    positional: { kind: 'tuple', parameters: [{ ...appArgument, optional: true }] },
  },
  docs: describe({
    brief: 'Show what happened: deploys, switches, failures, and who asked for them',
    usage: ['[APP] [-f] [-n N]'],
    examples: ['dorc events -n 50', 'dorc events web -f'],
  }),
})
