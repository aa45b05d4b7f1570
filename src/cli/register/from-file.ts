import { readFile, rename } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import type { RegisterRequest } from '../../api/protocol.ts'
import { DorcError } from '../../core/errors.ts'
import type { Paths } from '../../platform/paths.ts'
import { appToml } from './app-toml.ts'
import type { Source } from './refuse-problems.ts'
import { originalAnswers } from './original.ts'

export interface FromFile {
  readonly request: RegisterRequest
  /** null: made of an original's file, whose lines are others. */
  readonly source: Source | null
  /** An original's file that lies where ours is to lie: out of the way while `register` runs, for good if it succeeds. */
  readonly inTheWay: string | null
}

/** The definition in a file, of ours or of the original dorc. The app is called like the file unless `app` says otherwise. */
export async function readDefinition(path: string, app: string | undefined, paths: Paths): Promise<FromFile> {
  const toml = await readToml(path)
  const original = originalAnswers(toml)
  if (original === null)
    return { request: { name: app ?? nameOf(path), toml }, source: { kind: 'file', path }, inTheWay: null }
  const answers = { ...original, name: app ?? original.name }
  const isInTheWay = resolve(path) === join(paths.appFiles, `${answers.name}.toml`)
  return {
    request: { name: answers.name, toml: appToml(answers, paths) },
    source: null,
    inTheWay: isInTheWay ? resolve(path) : null,
  }
}

/** Runs `register` with the original's file renamed to FILE.original, and puts it back if that fails. */
export async function withoutOriginal<T>(path: string | null, register: () => Promise<T>): Promise<T> {
  if (path === null) return register()
  await rename(path, `${path}.original`)
  try {
    return await register()
  } catch (error) {
    await rename(`${path}.original`, path)
    throw error
  }
}

/** `dorc remove` leaves APP.toml.removed. */
const nameOf = (path: string): string => basename(basename(path, '.removed'), '.toml')

async function readToml(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new DorcError('PATH_INVALID', `Cannot read "${path}"`, {
      cause: error,
      hint: 'Give the path of a definition, as in docs/configuration.md, or leave --from away and be asked',
    })
  }
}
