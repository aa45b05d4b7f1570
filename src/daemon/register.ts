import { constants } from 'node:fs'
import { access, mkdir, readFile, realpath, rm, rmdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Caller } from '../api/actions.ts'
import type { CheckReport, RegisterRequest } from '../api/protocol.ts'
import { checkAppFile, parseAppFile } from '../config/app-file.ts'
import { SLOTS } from '../core/app.ts'
import type { Definition } from '../core/definition.ts'
import { DorcError, hasCode } from '../core/errors.ts'
import { checkAppName } from '../core/names.ts'
import { crossCheck } from '../core/ports.ts'
import { newApp, requestDeploy } from '../core/requests.ts'
import type { Release } from '../releases/release-store.ts'
import { writeFileAtomic } from '../state/atomic-write.ts'
import type { AppLoop } from './app-loop.ts'
import { refuseHeldPorts } from './held-ports.ts'
import type { Registry, RegistryDeps } from './registry.ts'
import { takeIn } from './take-in.ts'

const APP_FILE_MODE = 0o644

/** Everything that can be wrong with a definition before anything of it exists. Throws the first thing found. */
export async function checkDefinition(
  { name, toml }: RegisterRequest,
  registry: Registry,
  deps: RegistryDeps,
): Promise<Definition> {
  checkAppName(name)
  const fileName = appFile(deps, name)
  const definition = parseAppFile({ name, toml, fileName, paths: deps.paths })
  const others = registry.loops.map(({ app }) => app).filter((app) => app.name !== name)
  crossCheck(definition, others)
  const own = registry.has(name) ? registry.loop(name).app : null
  refuseHeldPorts(definition, own)
  await refuseMissingPrograms(definition)
  return definition
}

/**
 * Registers an app. What lies in its upload directory becomes release 1 of both slots. Until the intent is
 * saved, which is the last thing, a failure takes back all that was made for it. One at a time: each is checked
 * against those before it.
 */
export async function register(
  request: RegisterRequest,
  caller: Caller,
  { registry, deps }: { registry: Registry; deps: RegistryDeps },
): Promise<AppLoop> {
  const { name, toml } = request
  if (registry.has(name)) {
    throw new DorcError('APP_EXISTS', `There is an app "${name}" already`, {
      hint: `Edit ${appFile(deps, name)}, then: dorc load ${name}`,
    })
  }
  const definition = await checkDefinition(request, registry, deps)
  await using unfinished = new AsyncDisposableStack()
  const undo = (what: () => Promise<unknown>): void => {
    unfinished.defer(async () => {
      await what().catch((error: unknown) => deps.log.warn('register-not-undone', { app: name, error }))
    })
  }
  const isWritten = await refuseOtherFile(appFile(deps, name), toml)
  await makeUploadDir(definition.uploadDir, undo)
  if ((await deps.adapters.releases.list(name)).length === 0)
    undo(() => deps.adapters.releases.removeApp(name))
  const release = await takeInFirst(name, definition, deps)
  await mkdir(deps.paths.appFiles, { recursive: true })
  if (!isWritten) undo(() => rm(appFile(deps, name), { force: true }))
  await writeFileAtomic(appFile(deps, name), toml, APP_FILE_MODE)
  const app = newApp(name, definition)
  await deps.intents.save(app)
  unfinished.move()
  const { peer } = caller
  const message = `"${name}" was registered`
  deps.chronicle.record(name, { type: 'registered', message, deploy: null }, { peer, ifMatch: null })
  const loop = registry.adopt(app)
  if (release !== null) await deployFirst(loop, release, deps)
  return loop
}

async function deployFirst(loop: AppLoop, { number }: Release, { clock }: RegistryDeps): Promise<void> {
  const wish = { kind: 'deploy', release: number, switchWhenReady: true, force: false } as const
  await loop.change(null, (app) => requestDeploy(app, { ...wish, requestedAt: clock.wall() }))
}

export const appFile = ({ paths }: RegistryDeps, name: string): string => join(paths.appFiles, `${name}.toml`)

/** A file that a person wrote is never written over; the same text (true) is a register repeated. */
async function refuseOtherFile(path: string, toml: string): Promise<boolean> {
  const present = await readFile(path, 'utf8').catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return null
    throw new DorcError('PATH_INVALID', `Cannot read "${path}"`, { cause: error })
  })
  if (present === null || present === toml) return present === toml
  throw new DorcError('APP_EXISTS', `"${path}" exists and says something else`, {
    hint: `Register what it says with --from ${path}, or move it away`,
  })
}

/** A link on the way to it would let somebody else decide whose upload it is. */
async function makeUploadDir(path: string, undo: (what: () => Promise<unknown>) => void): Promise<void> {
  try {
    const found = await stat(path)
    if (!found.isDirectory()) {
      throw new DorcError('PATH_INVALID', `The upload directory "${path}" is not a directory`)
    }
    const real = await realpath(path)
    if (real === path) return
    throw new DorcError('PATH_INVALID', `The upload directory "${path}" leads through a link to "${real}"`, {
      hint: `Use that: upload_dir = "${real}"`,
    })
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
  try {
    await mkdir(path, { mode: 0o755 })
    undo(() => rmdir(path))
  } catch (error) {
    throw new DorcError('PATH_INVALID', `Cannot create the upload directory "${path}"`, {
      cause: error,
      hint: 'Create it, owned by the user who uploads',
    })
  }
}

/** Programs of this host that the commands name; those inside the release are checked when it is taken in. */
async function refuseMissingPrograms({ slots }: Definition): Promise<void> {
  for (const slot of SLOTS) {
    const { start, stop, reload } = slots[slot]
    for (const [key, words] of Object.entries({ start, stop, reload })) {
      const program = words?.[0]
      if (program === undefined || !program.startsWith('/')) continue
      await access(program, constants.X_OK).catch((cause: unknown) => {
        throw new DorcError('PATH_INVALID', `Cannot run the ${key} command of ${slot}: "${program}"`, {
          cause,
        })
      })
    }
  }
}

/** null: nothing was uploaded yet. */
async function takeInFirst(
  name: string,
  definition: Definition,
  { adapters, chronicle }: RegistryDeps,
): Promise<Release | null> {
  try {
    const source = { path: definition.uploadDir, uploader: null }
    const signal = new AbortController().signal
    const taken = await takeIn({ releases: adapters.releases, chronicle }, { name, definition }, source, {
      onProgress: () => undefined,
      signal,
    })
    return taken.release
  } catch (error) {
    if (error instanceof DorcError && error.code === 'RELEASE_EMPTY') return null
    throw error
  }
}

/** What register would say, for the wizard: changes nothing. */
export async function checkReport(
  request: RegisterRequest,
  { registry, deps }: { registry: Registry; deps: RegistryDeps },
): Promise<CheckReport['problems']> {
  const { name, toml } = request
  const checked = checkAppFile({ name, toml, fileName: appFile(deps, name), paths: deps.paths })
  if (!checked.ok) return checked.problems.map((problem) => ({ ...problem, hint: null }))
  try {
    await checkDefinition(request, registry, deps)
    return []
  } catch (error) {
    if (!(error instanceof DorcError)) throw error
    return [{ line: null, key: null, message: error.message, hint: error.hint }]
  }
}
