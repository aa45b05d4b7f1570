import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { HookName } from '../../core/definition.ts'
import type { SlotProcess } from '../../core/slot-process.ts'
import type { Clock } from '../../platform/clock.ts'
import { runCommand } from '../../platform/run-command.ts'
import { hookFailed } from '../hook-failed.ts'
import { LineLog } from './line-log.ts'
import type { Limits, SlotFiles } from './slot-files.ts'
import { accountOf, slotEnvironment } from './start-conditions.ts'

export interface HookRun {
  readonly files: SlotFiles
  readonly timeoutMs: number
  readonly limits: Limits
  readonly clock: Clock
}

/** A hook as a child process; what it writes goes to the slot's log. Throws HOOK_FAILED. */
export async function runHook(process: SlotProcess, hook: HookName, run: HookRun): Promise<void> {
  const argv = process.hooks[hook]
  if (argv === null) return
  const { files, timeoutMs, limits, clock } = run
  mkdirSync(dirname(files.logPath), { recursive: true, mode: 0o700 })
  const log = new LineLog({
    path: files.logPath,
    fileBytes: limits.logFileBytes,
    files: limits.logFiles,
    wall: () => clock.wall(),
  })
  const output = log.splitter()
  const { isSuccess, outcome, lastLine } = await runCommand({
    argv,
    cwd: process.workingDir,
    environment: slotEnvironment(process, {}),
    account: accountOf(process.user),
    timeoutMs,
    onOutput: output.write,
  })
  output.end()
  log.close()
  if (!isSuccess) throw hookFailed(hook, [outcome, lastLine])
}
