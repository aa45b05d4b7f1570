import { resolve } from 'node:path'
import { DorcError } from '../../core/errors.ts'
import type { Answers, Given } from './answers.ts'
import type { Draft } from './draft.ts'
import { guessStart } from './executables.ts'

export interface AnswerFlags {
  readonly listen: string | undefined
  readonly uploadDir: string | undefined
  readonly executable: string | undefined
  readonly bluePort: number | undefined
  readonly greenPort: number | undefined
  readonly blueDir: string | undefined
  readonly greenDir: string | undefined
  readonly start: string | undefined
  readonly stop: string | undefined
  readonly reload: string | undefined
  readonly autoSwitch: boolean | undefined
}

/** The questions that the command line answers already. */
export function givenBy(flags: AnswerFlags, name: string | undefined): Given {
  const { start, stop, reload } = flags
  const absolute = (path: string | undefined): string | undefined =>
    path === undefined ? path : resolve(path)
  return {
    name,
    listen: flags.listen,
    uploadDir: absolute(flags.uploadDir),
    executable: flags.executable,
    autoSwitch: flags.autoSwitch === true,
    slots: {
      blue: { port: flags.bluePort, workingDir: absolute(flags.blueDir), start, stop, reload },
      green: { port: flags.greenPort, workingDir: absolute(flags.greenDir), start, stop, reload },
    },
  }
}

/** Throws USAGE that names all that only the operator can know. */
export function refuseMissing({ name, listen, executable }: Given): void {
  const missing = [
    ...(name === undefined ? ['APP'] : []),
    ...(listen === undefined ? ['--listen ADDRESS'] : []),
    ...(executable === undefined ? ['--executable FILE'] : []),
  ]
  if (missing.length === 0) return
  throw new DorcError('USAGE', `Nobody can be asked, and these are missing: ${missing.join(', ')}`, {
    hint: 'See: dorc register --help, or run it on a terminal',
  })
}

/** Takes the default of each question that is left. */
export async function withDefaults(draft: Draft): Promise<Answers> {
  const { uploadDir, executable } = draft.complete()
  const start = await guessStart(uploadDir, executable)
  const { given } = draft
  const { blue, green } = given.slots
  draft.given = {
    ...given,
    slots: {
      blue: { ...blue, start: blue.start ?? start },
      green: { ...green, start: green.start ?? start },
    },
  }
  return draft.complete()
}
