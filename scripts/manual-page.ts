import { generateHelpTextForAllCommands } from '@stricli/core'
import { commands, dorcApplication } from '../src/cli/application.ts'

/** dorc(1), from the commands' own definitions: the same words as --help. man(7). */
export function manualPage(version: string, epoch: number): string {
  const date = new Date(epoch * 1000).toISOString().slice(0, 10)
  const application = dorcApplication('', (error) => {
    throw error
  })
  const sections = generateHelpTextForAllCommands(application).map(
    ([route, help]) => `.SS ${escaped(route)}\n${preformatted(help)}`,
  )
  return `.TH DORC 1 "${date}" "dorc ${version}" "User Commands"
.SH NAME
dorc \\- blue/green deployment for one host
.SH SYNOPSIS
.B dorc
.I COMMAND
[\\fIARGUMENT\\fR ...]
.SH DESCRIPTION
${escaped(commands.brief)}.
A build that is uploaded is started in the slot that nobody uses, and probed. A switch sends new connections to it;
open ones stay where they are.
.SH COMMANDS
${sections.join('\n')}
.SH FILES
.TP
.I /etc/dorc/apps/APP.toml
The definition of an app: see /usr/share/doc/dorc/configuration.md.
.TP
.I /var/lib/dorc
State, releases and working directories: see /usr/share/doc/dorc/operations.md.
.SH EXIT STATUS
0 done, 1 failed, 2 wrong usage or input, 3 refused, 4 no such app or release, 5 no daemon, 130 interrupted.
.SH ENVIRONMENT
.TP
.B DORC_ROOT
The root of an embedded daemon, as \\-\\-root says it.
.TP
.B NO_COLOR
No colours.
.SH SEE ALSO
.BR systemd (1),
.BR journalctl (1)
`
}

const preformatted = (text: string): string => `.nf\n${escaped(text.trimEnd())}\n.fi`

/** Backslashes and hyphens mean themselves; no line begins a request. */
const escaped = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^([.'])/gm, '\\&$1')
