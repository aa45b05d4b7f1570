import type { RouteMap, CommandContext } from '@stricli/core'

/** What `dorc` says by itself: its commands in the order in which they are met, and how to begin. */
export function overview(commands: RouteMap<CommandContext>): string {
  const entries = commands.getAllEntries().map(({ name, target }) => ({
    name: name['convert-camel-to-kebab'],
    brief: target.brief,
  }))
  const width = Math.max(...entries.map(({ name }) => name.length))
  return [
    `dorc: ${commands.brief}`,
    '',
    'COMMANDS',
    ...entries.map(({ name, brief }) => `  ${name.padEnd(width)}  ${brief}`),
    '',
    'EXAMPLES',
    '  $ sudo dorc setup',
    '  $ dorc register',
    '  $ dorc deploy web ./build',
    '  $ dorc switch web',
    '',
    'dorc COMMAND --help tells more, dorc --version which dorc this is.',
    'Without root and systemd: dorc start-daemon --embedded --root DIR, and DORC_ROOT=DIR for the rest.',
    '',
  ].join('\n')
}
