import { writeFileSync } from 'node:fs'
import { generateHelpTextForAllCommands } from '@stricli/core'
import { dorcApplication } from '../src/cli/application.ts'

/**
 * `node scripts/commands-doc.ts` writes docs/commands.md from the definitions of the commands: the same words as --help.
 * A test compares the two.
 */
export const COMMANDS_DOCUMENT = new URL('../docs/commands.md', import.meta.url)

/** What statuses 0, 1 and 3 mean for each command; 2, 4 and 5 mean the same for all. */
const outcomes: Readonly<Record<string, Partial<Record<0 | 1 | 3, string>>>> = {
  setup: { 0: 'dorc is set up, or removed', 1: 'it is not, or not all of it: it can be repeated' },
  register: {
    0: 'both slots run release 1, or nothing was uploaded yet',
    1: 'its upload cannot be a release, and there is no app; or there is one, and its first release does not run',
    3: 'such an app exists, a port is taken, or you are not root',
  },
  deploy: {
    0: 'the release is ready (`--switch`: carries new connections; `--wait-live`: has passed its bake), or was there already',
    1: 'the upload cannot be taken, the release did not get ready, or it took itself back',
    3: 'refused: the release took itself back before, or the app has changed meanwhile',
  },
  switch: {
    0: 'new connections go to the other slot',
    1: 'the switch was not carried out, and was taken back',
    3: 'refused: the slot is not ready, empty, active already, or the app is busy',
  },
  rollback: {
    0: 'new connections go to that release',
    1: 'its deploy failed; the active slot goes on',
    3: 'refused: nothing was active before, the release took itself back before, or the app is busy',
  },
  status: { 0: 'shown', 1: 'the app is set aside, its state cannot be read' },
  why: { 0: 'told, whether something is wrong or not' },
  releases: { 0: 'shown; with --verify: all is as it was taken in', 1: 'with --verify: a file is not' },
  manifest: { 0: 'printed', 1: 'the directory cannot be a release' },
  conns: { 0: 'shown', 1: 'the data plane does not tell' },
  close: {
    0: 'closed, or there was nothing to close',
    1: 'the data plane does not close them',
    3: 'refused: it is the active slot, or became that meanwhile',
  },
  logs: { 0: 'shown' },
  events: { 0: 'shown' },
  start: {
    0: 'the slots are ready',
    1: 'a slot did not become ready within 90 s',
    3: 'nothing is deployed there',
  },
  stop: {
    0: 'the slots have stopped',
    1: 'a slot did not stop within 90 s',
    3: 'nothing is deployed there, or a deploy needs the slot',
  },
  restart: {
    0: 'the slots are ready again',
    1: 'a slot did not become ready within 90 s',
    3: 'nothing is deployed there, or a deploy needs the slot',
  },
  reload: {
    0: 'the reload command has succeeded',
    1: 'it failed, or there is none',
    3: 'nothing runs there',
  },
  pause: {
    0: 'new connections are held, or were already',
    1: 'the data plane has not taken it within 10 s',
    3: 'the app is being removed',
  },
  resume: {
    0: 'new connections are let through, or were already',
    1: 'the data plane has not taken it within 10 s',
    3: 'the app is being removed',
  },
  drill: {
    0: 'nothing failed, and the active slot is what it was',
    1: 'something failed: the report says what',
    3: 'refused: a slot is not ready, a deploy is under way, the app is paused, or the daemon may not be killed',
  },
  load: { 0: 'the new definition is accepted', 3: 'a port is taken, or you are not root' },
  remove: { 0: 'the app is gone', 3: 'you are not root' },
  'start-daemon': { 0: 'ended by SIGTERM or SIGINT', 1: 'it could not start' },
}

/** Those that name an app, which may not exist. */
const WITHOUT_APP = new Set(['setup', 'register', 'start-daemon', 'events'])
const WITHOUT_DAEMON = new Set(['setup', 'start-daemon'])

export function commandsDocument(): string {
  const application = dorcApplication('', (error) => {
    throw error
  })
  const sections = generateHelpTextForAllCommands(application).map(([route, help]) =>
    section(route.replace(/^dorc /, ''), help),
  )
  return `${INTRODUCTION}\n${sections.join('\n')}`
}

function section(command: string, help: string): string {
  const known = outcomes[command]
  if (known === undefined) throw new Error(`scripts/commands-doc.ts knows no exit statuses of "${command}"`)
  const statuses: Record<number, string> = {
    ...known,
    2: 'wrong usage or input; nothing changed',
    ...(WITHOUT_APP.has(command) ? {} : { 4: 'no such app or release' }),
    ...(WITHOUT_DAEMON.has(command) ? {} : { 5: 'no daemon' }),
  }
  const rows = Object.entries(statuses).map(([status, meaning]) => `| ${status} | ${meaning} |`)
  return `## dorc ${command}

\`\`\`
${help.trimEnd()}
\`\`\`

| exit status | meaning |
|---|---|
${rows.join('\n')}
`
}

const INTRODUCTION = `# Commands

Written by \`scripts/commands-doc.ts\` from the commands' own definitions: \`dorc COMMAND --help\` says the same.

- **Who may**: \`setup\`, \`register\`, \`load\` and \`remove\` define what runs, and need root; on a terminal they ask for it through
  \`sudo\`. All others need the group \`dorc\`. An embedded daemon belongs to the user who started it.
- **Which daemon**: the one of the host, or with \`--root DIR\` or \`DORC_ROOT=DIR\` the embedded one under DIR.
- **\`--json\`** prints one JSON document, or one a line for what goes on (\`deploy\`, \`switch\`, \`rollback\`, \`logs\`, \`events\`). A failure is
  \`{"error":{"code":…,"message":…,"hint":…}}\`. The documents are those of [api.md](api.md).
- **Colours** are for terminals only, and off with \`NO_COLOR\`.
- **Failures** are told on stderr with a code: [errors.md](errors.md). Ctrl-C ends with status 130; what was begun goes on.
`

if (process.argv[1] === new URL(import.meta.url).pathname)
  writeFileSync(COMMANDS_DOCUMENT, commandsDocument())
