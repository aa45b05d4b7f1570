import type { App, Step, StepKind } from '../core/app.ts'

/** One small function per step. A new kind of step without one does not compile. */
export type Executors = {
  readonly [Kind in StepKind]: (step: Extract<Step, { kind: Kind }>, app: App) => Promise<void>
}

export function executeStep(executors: Executors, app: App, step: Step): Promise<void> {
  // The table pairs each kind with its own step; TypeScript cannot follow that through the union.
  const execute = executors[step.kind] as (step: Step, app: App) => Promise<void>
  return execute(step, app)
}
