import type { App, Slot } from '../core/app.ts'
import { HOOK_TIMEOUT_MS, type HookName } from '../core/definition.ts'
import { describeError } from '../core/errors.ts'
import { slotProcess } from '../core/slot-process.ts'
import { Turns } from '../releases/turns.ts'
import type { Supervisor } from '../supervisor/supervisor.ts'
import type { Chronicle } from './chronicle.ts'

/**
 * `after_switch` and `after_rollback`: run once new connections go to the slot, one at a time an app. Traffic waits for none of
 * them, and what becomes of them is told and decides nothing. One that a dying daemon was about to run is not run.
 */
export class SwitchHooks {
  readonly #supervisor: Supervisor
  readonly #chronicle: Chronicle
  readonly #turns = new Turns()

  constructor(supervisor: Supervisor, chronicle: Chronicle) {
    this.#supervisor = supervisor
    this.#chronicle = chronicle
  }

  /** New connections of `app` go to `slot` from now on. */
  after(app: App, slot: Slot): void {
    const intent = app.slots[slot]
    if (intent === null) return
    const hook = isWayBack(app) ? 'afterRollback' : 'afterSwitch'
    const process = slotProcess(app.name, slot, intent)
    if (process.hooks[hook] === null) return
    void this.#turns.take(app.name, async () => {
      const outcome = await this.#supervisor.runHook(process, hook, HOOK_TIMEOUT_MS).then(
        () => ({ type: 'hook-done', message: `${wordOf(hook)} was run in ${slot}` }) as const,
        (error: unknown) => ({ type: 'hook-failed', message: describeError(error) }) as const,
      )
      this.#chronicle.record(app.name, { ...outcome, deploy: app.deploy?.id ?? null }, null)
    })
  }
}

function isWayBack({ deploy }: App): boolean {
  return (
    deploy !== null &&
    (deploy.kind === 'rollback' || deploy.state === 'rolled-back' || deploy.state === 'failed')
  )
}

const wordOf = (hook: HookName): string => (hook === 'afterRollback' ? 'after_rollback' : 'after_switch')
