import type { HookName } from '../core/definition.ts'
import { DorcError } from '../core/errors.ts'

/** As the app's file calls it: `before_start`. */
export const describeHook = (hook: HookName): string =>
  hook.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** `said`: how it ended, and its last line if there is one. */
export function hookFailed(hook: HookName, said: readonly (string | undefined)[]): DorcError {
  const text = said.filter((part) => part !== undefined && part !== '').join(': ')
  return new DorcError('HOOK_FAILED', `The hook ${describeHook(hook)} failed: ${text}`)
}
