import { resolve } from 'node:path'
import { DaemonClient, type ReachHints } from '../api/client.ts'
import { type Paths, pathsUnder } from '../platform/paths.ts'
import { type Paint, paintFor } from './paint.ts'

/** The flags that every command has. */
export interface CommonFlags {
  readonly json: boolean | undefined
  readonly root: string | undefined
}

/** What a command works with: its daemon and its two ways to speak. */
export interface Session {
  readonly daemon: DaemonClient
  readonly paths: Paths
  /** Under a root of the user's own, without systemd and without root's rights. */
  readonly isEmbedded: boolean
  readonly isJson: boolean
  readonly isTerminal: boolean
  /** Of the terminal; null where there is none. */
  readonly columns: number | null
  readonly paint: Paint
  /** For people; silent with --json. */
  readonly say: (line: string) => void
  /** For programs: one line of JSON. */
  readonly document: (value: unknown) => void
}

export function openSession(flags: CommonFlags): Session {
  const root = resolve(flags.root ?? process.env['DORC_ROOT'] ?? '/')
  const isEmbedded = root !== '/'
  const paths = pathsUnder(root)
  const isJson = flags.json === true
  const isTerminal = process.stdout.isTTY && !isJson
  return {
    daemon: new DaemonClient(paths.socket, isEmbedded ? embeddedHints(root) : SYSTEM_HINTS),
    paths,
    isEmbedded,
    isJson,
    isTerminal,
    columns: isTerminal ? process.stdout.columns : null,
    paint: paintFor(process.stdout),
    say: (line) => {
      if (!isJson) process.stdout.write(`${line}\n`)
    },
    document: (value) => void process.stdout.write(`${JSON.stringify(value)}\n`),
  }
}

const SYSTEM_HINTS: ReachHints = {
  whenAbsent: [
    'Start it: sudo systemctl start dorcd',
    'Not installed yet: sudo dorc setup',
    'One of your own: name its root with --root DIR or DORC_ROOT',
  ].join('\n'),
  whenDenied: 'Join the group dorc and log in again: sudo usermod -aG dorc "$USER"',
}

const embeddedHints = (root: string): ReachHints => ({
  whenAbsent: `Start it: dorc start-daemon --embedded --root ${root}`,
  whenDenied: 'Run it as the user who started the daemon there',
})
