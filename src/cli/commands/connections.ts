import { buildCommand } from '@stricli/core'
import { parseDuration } from '../../core/durations.ts'
import { appArgument, commonFlags, describe, plainFlag, slotFlag, wholeNumber } from '../flags.ts'

export const connsCommand = buildCommand({
  loader: async () => (await import('../run/conns.ts')).conns,
  parameters: {
    flags: {
      slot: slotFlag,
      lines: {
        kind: 'parsed',
        parse: wholeNumber(0),
        optional: true,
        placeholder: 'N',
        brief: 'At most so many of each slot (default: 20 on a terminal, else all)',
      },
      ...commonFlags,
    },
    aliases: { n: 'lines' },
    positional: { kind: 'tuple', parameters: [appArgument] },
  },
  docs: describe({
    brief: 'Show who is connected, oldest first',
    detail:
      'Connections that came through the listen address, by slot: their age (?: nobody saw them begin), the bytes that\nthe client sent and got, the process that has them, and what carries them.',
    usage: ['APP [--slot blue|green] [-n N]'],
    examples: ['dorc conns web', 'dorc conns web --slot blue -n 100'],
  }),
})

export const closeCommand = buildCommand({
  loader: async () => (await import('../run/close.ts')).close,
  parameters: {
    flags: {
      slot: { kind: 'enum', values: ['blue', 'green'], brief: 'The slot whose connections are closed' },
      older: durationFlag('Only those that are at least so old: 10min, 1h 30min'),
      unknownAge: plainFlag('With --older: also those that nobody saw begin'),
      spread: durationFlag('Not all at once, but evenly over so long'),
      force: plainFlag('Also if it is the active slot'),
      ...commonFlags,
    },
    positional: { kind: 'tuple', parameters: [appArgument] },
  },
  docs: describe({
    brief: 'Close the connections of a slot',
    detail:
      'Both sides are reset. Those that come meanwhile are left alone; Ctrl-C stops it, and leaves the rest open.\nThe age of a connection that dorc did not see begin is not known: it is left alone with --older, unless --unknown-age is given.',
    usage: ['APP --slot blue|green [--older D] [--spread D] [--force]'],
    examples: ['dorc close web --slot blue', 'dorc close web --slot blue --older 1h --spread 5min'],
  }),
})

function durationFlag(brief: string) {
  const parse = (text: string): number => {
    const ms = parseDuration(text)
    if (ms === null) throw new Error('it is no duration such as 30s, 10min or 1h 30min')
    return ms
  }
  return { kind: 'parsed', parse, optional: true, placeholder: 'D', brief } as const
}
