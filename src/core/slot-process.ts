import type { ReleaseNumber, Slot, SlotIntent } from './app.ts'
import type { Sandbox } from './definition.ts'

/** All that a supervisor has to know to run one slot. */
export interface SlotProcess {
  readonly app: string
  readonly slot: Slot
  readonly release: ReleaseNumber
  readonly incarnation: number
  readonly port: number
  /** The first word is an absolute path. */
  readonly startArgv: readonly string[]
  readonly stopArgv: readonly string[] | null
  readonly reloadArgv: readonly string[] | null
  readonly workingDir: string
  readonly environment: Readonly<Record<string, string>>
  readonly user: string | null
  readonly stopTimeoutMs: number
  readonly sandbox: Sandbox
}

/** What a slot of `app` runs to be as `intent` wants it. */
export function slotProcess(app: string, slot: Slot, intent: SlotIntent): SlotProcess {
  const { definition: defined, release, incarnation } = intent
  const values: Readonly<Record<string, string>> = {
    executable: `${defined.workingDir}/${defined.executable}`,
    port: String(defined.port),
    slot,
    app,
    dir: defined.workingDir,
    release: String(release),
  }
  const expand = (words: readonly string[]): string[] => words.map((word) => expandPlaceholders(word, values))
  return {
    app,
    slot,
    release,
    incarnation,
    port: defined.port,
    startArgv: expand(defined.start),
    stopArgv: defined.stop === null ? null : expand(defined.stop),
    reloadArgv: defined.reload === null ? null : expand(defined.reload),
    workingDir: defined.workingDir,
    environment: {
      PORT: values['port'] ?? '',
      DORC_APP: app,
      DORC_SLOT: slot,
      DORC_RELEASE: String(release),
      DORC_DIR: defined.workingDir,
      ...defined.environment,
    },
    user: defined.user,
    stopTimeoutMs: defined.stopTimeoutMs,
    sandbox: defined.sandbox,
  }
}

export const PLACEHOLDERS = ['executable', 'port', 'slot', 'app', 'dir', 'release'] as const

/** Unknown names in braces stay as they are: a start command may contain JSON. */
function expandPlaceholders(word: string, values: Readonly<Record<string, string>>): string {
  return word.replaceAll(/\{([a-z]+)\}/g, (whole, name: string) => values[name] ?? whole)
}
