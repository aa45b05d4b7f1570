import { buildCommand } from '@stricli/core'
import { appArgument, commonFlags, describe, slotFlag } from '../flags.ts'
import type { RunAction } from '../run/run.ts'

export const startCommand = runCommand(
  'start',
  'Start the slots of an app that were stopped',
  'They stay started over a reboot.',
)
export const stopCommand = runCommand(
  'stop',
  'Stop the slots of an app',
  'They stay stopped over a reboot, until they are started or deployed to.',
)
export const restartCommand = runCommand(
  'restart',
  'Restart the slots of an app, with its present definition',
  'New connections wait while the active slot restarts.',
)
export const reloadCommand = runCommand(
  'reload',
  'Run the reload command of the slots of an app',
  'The processes go on.',
)

function runCommand(action: RunAction, brief: string, detail: string) {
  return buildCommand({
    loader: async () => (await import('../run/run.ts')).runAction(action),
    parameters: {
      flags: { slot: slotFlag, ...commonFlags },
      positional: { kind: 'tuple', parameters: [appArgument] },
    },
    docs: describe({
      brief,
      detail,
      usage: ['APP [--slot blue|green]'],
      examples: [`dorc ${action} web`, `dorc ${action} web --slot green`],
    }),
  })
}
