import { join } from 'node:path'
import type { Slot } from '../core/app.ts'

/** Every place that dorc keeps something in. Under systemd the root is `/`; embedded, a directory of the user's. */
export interface Paths {
  readonly root: string
  readonly appFiles: string
  /** 0700: intent, releases, journal. */
  readonly state: string
  readonly intents: string
  readonly releases: string
  /** Slot directories and the records of what is installed in them. */
  readonly slots: string
  readonly journal: string
  readonly run: string
  readonly socket: string
  readonly relayRun: string
  /** Where a bpf file system holds what steers; only under systemd. */
  readonly bpf: string
  readonly logs: string
  /** Units of the administrator (systemd.unit(5)); without meaning under another root. */
  readonly units: string
}

export function pathsUnder(root: string): Paths {
  const state = join(root, 'var/lib/dorc')
  const run = join(root, 'run/dorc')
  return {
    root,
    appFiles: join(root, 'etc/dorc/apps'),
    state,
    intents: join(state, 'intents'),
    releases: join(state, 'releases'),
    slots: join(state, 'apps'),
    journal: join(state, 'journal.db'),
    run,
    socket: join(run, 'dorc.sock'),
    relayRun: join(run, 'relay'),
    bpf: join(run, 'bpf'),
    logs: join(state, 'logs'),
    units: join(root, 'etc/systemd/system'),
  }
}

export const defaultUploadDir = (paths: Paths, app: string): string => join(paths.root, 'var/tmp', app)
export const defaultWorkingDir = (paths: Paths, app: string, slot: Slot): string =>
  join(paths.slots, app, slot)
