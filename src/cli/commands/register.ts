import { buildCommand } from '@stricli/core'
import { appArgument, commonFlags, describe, plainFlag, textFlag, wholeNumber } from '../flags.ts'

const portFlag = (brief: string) =>
  ({ kind: 'parsed', parse: wholeNumber(1, 65_535), optional: true, placeholder: 'PORT', brief }) as const

export const registerCommand = buildCommand({
  loader: async () => (await import('../run/register.ts')).register,
  parameters: {
    flags: {
      from: textFlag('Take the definition from this file (of the original dorc, too)', 'FILE.toml'),
      listen: textFlag('Where the world connects: 8080, 127.0.0.1:8080, [::]:8080', 'ADDRESS'),
      uploadDir: textFlag(
        'Where releases are uploaded to, absolute or from here (default: /var/tmp/APP)',
        'DIR',
      ),
      executable: textFlag('What to run, inside the release', 'FILE'),
      bluePort: portFlag('Port of the blue slot (default: a free one)'),
      greenPort: portFlag('Port of the green slot (default: a free one)'),
      blueDir: textFlag('Working directory of the blue slot, absolute or from here', 'DIR'),
      greenDir: textFlag('Working directory of the green slot, absolute or from here', 'DIR'),
      start: textFlag('Command that starts a slot; {port} and the like are filled in', 'COMMAND'),
      stop: textFlag('Command that stops a slot (default: SIGTERM to its processes)', 'COMMAND'),
      reload: textFlag('Command that makes a slot read its configuration again', 'COMMAND'),
      autoSwitch: plainFlag('Switch by itself when an upload is ready'),
      yes: plainFlag('Ask nothing: take the defaults'),
      ...commonFlags,
    },
    aliases: { y: 'yes' },
    positional: { kind: 'tuple', parameters: [{ ...appArgument, optional: true }] },
  },
  docs: describe({
    brief: 'Register an app: by questions, by flags, or from a file',
    detail: 'What lies in the upload directory becomes release 1 and is put into both slots.\nNeeds root.',
    usage: ['[APP]', 'APP --listen ADDRESS --executable FILE [flags] --yes', '[APP] --from FILE.toml'],
    examples: [
      'dorc register',
      'dorc register web --listen 8080 --executable bin/app --yes',
      'dorc register web --from web.toml',
    ],
  }),
})
