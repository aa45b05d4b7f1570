import type { Slot } from './app.ts'
import type { SlotProcess } from './slot-process.ts'
import { strictSandbox } from './unit-sandbox.ts'
import {
  type Assignment,
  barePath,
  environmentEntry,
  execCommand,
  listedPath,
  unitText,
  userName,
} from './unit-syntax.ts'

/** The environment variable by which a loaded unit tells its incarnation. */
export const INCARNATION_VARIABLE = 'DORC_INCARNATION'

export interface UnitOptions {
  /** dorc's own directory, 0700: an app sees nothing of it but its slot's directory. */
  readonly stateDir: string
  /** systemd 254 and later can lengthen the pause between restarts (RestartSteps=). */
  readonly hasRestartSteps: boolean
}

export function slotUnitName(app: string, slot: Slot): string {
  return `${slot}-${app}.service`
}

/**
 * The text of a slot's unit, by default in the sandbox of `unit-sandbox.ts`. Throws DEFINITION_INVALID for what a
 * unit cannot hold.
 */
export function slotUnitText(process: SlotProcess, options: UnitOptions): string {
  const { app, slot, sandbox } = process
  return unitText([
    {
      name: 'Unit',
      assignments: [
        ['Description', `${app} (${slot})`],
        ['After', 'network.target'],
        // An app that crashes for an hour must still come back by itself when its database does.
        ['StartLimitIntervalSec', '0'],
      ],
    },
    {
      name: 'Service',
      assignments: [
        ...commandLines(process),
        ...restartLines(options),
        ...environmentLines(process),
        ...userLines(process),
        ...directoryLines(process, options),
        ...(sandbox.off ? [] : sandboxLines(process)),
        ...limitLines(process),
      ],
    },
    { name: 'Install', assignments: [['WantedBy', 'multi-user.target']] },
  ])
}

export function hookUnitName(app: string, slot: Slot): string {
  return `dorc-hook-${slotUnitName(app, slot)}`
}

/**
 * The text of a unit that runs a command once, as the slot would: user, directory, environment and sandbox are the same. Throws
 * DEFINITION_INVALID for what a unit cannot hold.
 */
export function hookUnitText(
  process: SlotProcess,
  command: { readonly argv: readonly string[]; readonly timeoutMs: number },
  options: UnitOptions,
): string {
  const { app, slot, sandbox } = process
  return unitText([
    { name: 'Unit', assignments: [['Description', `Hook of ${app} (${slot})`]] },
    {
      name: 'Service',
      assignments: [
        // The start job lasts as long as the command; what it leaves behind is killed with it.
        ['Type', 'oneshot'],
        ['ExecStart', execCommand(command.argv)],
        ['TimeoutStartSec', `${command.timeoutMs}ms`],
        ['TimeoutStopSec', '1s'],
        ...environmentLines(process),
        ...userLines(process),
        ...directoryLines(process, options),
        ...(sandbox.off ? [] : sandboxLines(process)),
        ...limitLines(process),
      ],
    },
  ])
}

/** systemd.resource-control(5), systemd.exec(5). */
function limitLines({ resources }: SlotProcess): Assignment[] {
  const { memoryMaxBytes, cpuQuotaPercent, tasksMax, openFiles } = resources
  return [
    ['LimitNOFILE', String(openFiles)],
    ['TasksMax', String(tasksMax)],
    ...(memoryMaxBytes === null ? [] : [['MemoryMax', String(memoryMaxBytes)] as const]),
    ...(cpuQuotaPercent === null ? [] : [['CPUQuota', `${cpuQuotaPercent}%`] as const]),
  ]
}

function commandLines({ startArgv, stopArgv, reloadArgv, stopTimeoutMs }: SlotProcess): Assignment[] {
  return [
    // The start job fails if the program cannot be executed, and ends as soon as it is.
    ['Type', 'exec'],
    ['ExecStart', execCommand(startArgv)],
    ...(stopArgv === null ? [] : [['ExecStop', execCommand(stopArgv)] as const]),
    ...(reloadArgv === null ? [] : [['ExecReload', execCommand(reloadArgv)] as const]),
    ['TimeoutStopSec', `${stopTimeoutMs}ms`],
  ]
}

function restartLines({ hasRestartSteps }: UnitOptions): Assignment[] {
  return [
    ['Restart', 'always'],
    ['RestartSec', '1s'],
    ...(hasRestartSteps
      ? ([
          ['RestartSteps', '5'],
          ['RestartMaxDelaySec', '30s'],
        ] as const)
      : []),
  ]
}

/** The incarnation stands last: of two assignments systemd keeps the later one. */
function environmentLines({ environment, incarnation }: SlotProcess): Assignment[] {
  return Object.entries({ ...environment, [INCARNATION_VARIABLE]: String(incarnation) }).map(
    ([name, value]) => ['Environment', environmentEntry(name, value)],
  )
}

/** A dynamic user is the same for all units that name it: both slots share their files in STATE_DIRECTORY. */
function userLines({ app, user }: SlotProcess): Assignment[] {
  return [
    ...(user === null
      ? ([
          ['DynamicUser', 'yes'],
          ['User', dynamicUserName(app)],
        ] as const)
      : [['User', userName(user)] as const]),
    ['StateDirectory', `dorc-${app}`],
    ['StateDirectoryMode', '0700'],
  ]
}

/**
 * Makes the working directory reachable at its own path. dorc's directory is replaced by an empty one that holds
 * nothing but this slot; other places may lie behind ProtectHome= or PrivateTmp=, which a bind mount shines through.
 */
function directoryLines({ workingDir, sandbox, user }: SlotProcess, { stateDir }: UnitOptions): Assignment[] {
  const own: Assignment = ['WorkingDirectory', barePath(workingDir)]
  if (sandbox.off && user === 'root') return [own]
  const isInStateDir = workingDir.startsWith(`${stateDir}/`)
  return [
    own,
    ...(isInStateDir ? [['TemporaryFileSystem', `${barePath(stateDir)}:ro`] as const] : []),
    ['BindPaths', listedPath(workingDir)],
    ...sandbox.writablePaths.map((path) => ['ReadWritePaths', listedPath(path)] as const),
  ]
}

function sandboxLines({ sandbox, workingDir, port }: SlotProcess): Assignment[] {
  const isAtHome = /^\/(home|root|run\/user)(\/|$)/.test(workingDir)
  return [
    ...strictSandbox(port < 1024 ? 'CAP_NET_BIND_SERVICE' : ''),
    // `tmpfs`: as empty as `yes`, and the working directory can be mounted into it.
    ['ProtectHome', sandbox.home ? 'read-only' : isAtHome ? 'tmpfs' : 'yes'],
    ['PrivateDevices', sandbox.devices ? 'no' : 'yes'],
  ]
}

const MAX_USER_NAME = 31

/**
 * systemd wants at most 31 characters and no dots. A name that does not fit is shortened and told apart by a hash;
 * the underscore keeps it from ever being the name of another app.
 */
export function dynamicUserName(app: string): string {
  const plain = `dorc-${app}`
  if (plain.length <= MAX_USER_NAME && !app.includes('.')) return plain
  const hash = fnv1a64(app).toString(36)
  const room = MAX_USER_NAME - 'dorc_'.length - 1 - hash.length
  return `dorc_${app.replaceAll('.', '-').slice(0, room)}-${hash}`
}

/** Fowler, Noll and Vo's hash, 1a, 64 bits: stable for ever, and enough to tell the apps of one host apart. */
function fnv1a64(text: string): bigint {
  let hash = 0xcbf29ce484222325n
  for (const character of text) {
    hash ^= BigInt(character.codePointAt(0) ?? 0)
    hash = (hash * 0x100000001b3n) & 0xffffffffffffffffn
  }
  return hash
}
