import type { Slot } from '../../core/app.ts'

/** What the wizard asks, in its order; flags answer the same questions. */
export interface Answers {
  readonly name: string
  readonly uploadDir: string
  readonly executable: string
  readonly listen: string
  readonly autoSwitch: boolean
  readonly slots: Readonly<Record<Slot, SlotAnswers>>
}

export interface SlotAnswers {
  readonly workingDir: string
  readonly port: number
  readonly start: string
  /** Empty: systemd's own stop. */
  readonly stop: string
  /** Empty: none. */
  readonly reload: string
}

/** What flags have answered already. */
export interface Given {
  readonly name: string | undefined
  readonly uploadDir: string | undefined
  readonly executable: string | undefined
  readonly listen: string | undefined
  readonly autoSwitch: boolean
  readonly slots: Readonly<Record<Slot, GivenSlot>>
}

export type GivenSlot = { readonly [K in keyof SlotAnswers]: SlotAnswers[K] | undefined }

/** How a slot is started unless told otherwise; its port is in the environment as PORT. */
export const DEFAULT_START = '{executable}'
