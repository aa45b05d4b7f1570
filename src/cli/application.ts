import { buildApplication, buildRouteMap, type CommandContext, text_en } from '@stricli/core'
import { VERSION } from '../platform/version.ts'
import { closeCommand, connsCommand } from './commands/connections.ts'
import { deployCommand } from './commands/deploy.ts'
import { drillCommand } from './commands/drill.ts'
import { loadCommand } from './commands/load.ts'
import { eventsCommand, logsCommand } from './commands/logs.ts'
import { manifestCommand } from './commands/manifest.ts'
import { pauseCommand, resumeCommand } from './commands/pause.ts'
import { registerCommand } from './commands/register.ts'
import { releasesCommand } from './commands/releases.ts'
import { removeCommand } from './commands/remove.ts'
import { rollbackCommand } from './commands/rollback.ts'
import { reloadCommand, restartCommand, startCommand, stopCommand } from './commands/run.ts'
import { setupCommand } from './commands/setup.ts'
import { startDaemonCommand } from './commands/start-daemon.ts'
import { statusCommand } from './commands/status.ts'
import { switchCommand } from './commands/switch.ts'
import { whyCommand } from './commands/why.ts'
import { exitCodeOf } from './exit-codes.ts'
import { unknownCommand, wrongArguments } from './usage-error.ts'

/** In the order in which a newcomer meets them. What a command does is loaded when it runs. */
export const commands = buildRouteMap({
  routes: {
    setup: setupCommand,
    register: registerCommand,
    deploy: deployCommand,
    switch: switchCommand,
    rollback: rollbackCommand,
    status: statusCommand,
    why: whyCommand,
    releases: releasesCommand,
    manifest: manifestCommand,
    conns: connsCommand,
    close: closeCommand,
    logs: logsCommand,
    events: eventsCommand,
    start: startCommand,
    stop: stopCommand,
    restart: restartCommand,
    reload: reloadCommand,
    pause: pauseCommand,
    resume: resumeCommand,
    drill: drillCommand,
    load: loadCommand,
    remove: removeCommand,
    startDaemon: startDaemonCommand,
  },
  docs: { brief: 'Blue/green deployment for one Linux host' },
})

/** `command` is the first word that was typed; `fail` is told what went wrong; what Stricli itself would print about it is not to be shown. */
export function dorcApplication(command: string, fail: (error: unknown) => void) {
  const told = (error: unknown): string => {
    fail(error)
    return ''
  }
  return buildApplication<CommandContext>(commands, {
    name: 'dorc',
    versionInfo: { currentVersion: VERSION },
    scanner: { caseStyle: 'allow-kebab-for-camel', allowArgumentEscapeSequence: true },
    documentation: {
      caseStyle: 'convert-camel-to-kebab',
      useAliasInUsageLine: false,
      onlyRequiredInUsageLine: true,
    },
    determineExitCode: exitCodeOf,
    localization: {
      text: {
        ...text_en,
        noCommandRegisteredForInput: ({ input, corrections }) => told(unknownCommand(input, corrections)),
        exceptionWhileParsingArguments: (problem) => told(wrongArguments(command, problem)),
        exceptionWhileLoadingCommandFunction: told,
        exceptionWhileRunningCommand: told,
        commandErrorResult: told,
        exceptionWhileRunningIntegrationFlag: ({ exception }) => told(exception),
        exceptionWhileRunningIntegrationHook: ({ exception }) => told(exception),
      },
    },
  })
}
