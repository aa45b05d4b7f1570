import type { ReleaseNumber, Slot, SlotIntent } from './app.ts'
import type { Hooks, Probe, Resources, Sandbox } from './definition.ts'

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
  readonly hooks: Hooks
  readonly workingDir: string
  readonly environment: Readonly<Record<string, string>>
  readonly user: string | null
  readonly stopTimeoutMs: number
  readonly sandbox: Sandbox
  readonly resources: Resources
}

/** What a slot of `app` runs to be as `intent` wants it. */
export function slotProcess(app: string, slot: Slot, intent: SlotIntent): SlotProcess {
  const { definition: defined, release, incarnation } = intent
  const expand = expander(app, slot, intent)
  const expandIfAny = (words: readonly string[] | null): string[] | null =>
    words === null ? null : expand(words)
  return {
    app,
    slot,
    release,
    incarnation,
    port: defined.port,
    startArgv: expand(defined.start),
    stopArgv: expandIfAny(defined.stop),
    reloadArgv: expandIfAny(defined.reload),
    hooks: {
      beforeStart: expandIfAny(defined.hooks.beforeStart),
      afterSwitch: expandIfAny(defined.hooks.afterSwitch),
      afterRollback: expandIfAny(defined.hooks.afterRollback),
    },
    workingDir: defined.workingDir,
    environment: {
      // Go listens with MPTCP since 1.24, and the kernel cannot steer to such a socket (EOPNOTSUPP).
      GODEBUG: 'multipathtcp=0',
      PORT: String(defined.port),
      DORC_APP: app,
      DORC_SLOT: slot,
      DORC_RELEASE: String(release),
      DORC_DIR: defined.workingDir,
      ...defined.environment,
    },
    user: defined.user,
    stopTimeoutMs: defined.stopTimeoutMs,
    sandbox: defined.sandbox,
    resources: defined.resources,
  }
}

/** How the slot is asked whether it answers, with the placeholders of its command filled in. */
export function slotProbe(app: string, slot: Slot, intent: SlotIntent): Probe {
  const { probe } = intent.definition
  return probe.kind === 'command' ? { ...probe, command: expander(app, slot, intent)(probe.command) } : probe
}

function expander(
  app: string,
  slot: Slot,
  { definition, release }: SlotIntent,
): (words: readonly string[]) => string[] {
  const values: Readonly<Record<string, string>> = {
    executable: `${definition.workingDir}/${definition.executable}`,
    port: String(definition.port),
    slot,
    app,
    dir: definition.workingDir,
    release: String(release),
  }
  return (words) => words.map((word) => expandPlaceholders(word, values))
}

export const PLACEHOLDERS = ['executable', 'port', 'slot', 'app', 'dir', 'release'] as const

/** Unknown names in braces stay as they are: a start command may contain JSON. */
function expandPlaceholders(word: string, values: Readonly<Record<string, string>>): string {
  return word.replaceAll(/\{([a-z]+)\}/g, (whole, name: string) => values[name] ?? whole)
}
