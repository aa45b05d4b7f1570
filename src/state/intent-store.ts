import { mkdir, readdir, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { App } from '../core/app.ts'
import { describeError, DorcError } from '../core/errors.ts'
import { removeFileDurably, writeFileAtomic } from './atomic-write.ts'
import { readIntent, writeIntent } from './intent-file.ts'

/** One small file per app: what one of them suffers never holds up another. */
export interface IntentStore {
  /**
   * Every app that can be read, and every file that cannot, with the reason; those are left as they are. Throws
   * STATE_CORRUPT if the directory itself cannot be read.
   */
  loadAll(): Promise<LoadedIntents>
  /** Durable when it resolves. Throws DISK_FULL or STATE_NOT_SAVED, and STATE_CORRUPT rather than overwrite such a file. */
  save(app: App): Promise<void>
  /** Durable when it resolves; an app that has no file is removed already. Throws STATE_NOT_SAVED. */
  remove(name: string): Promise<void>
}

export interface LoadedIntents {
  readonly apps: readonly { readonly app: App; readonly sameBoot: boolean }[]
  readonly corrupt: readonly { readonly name: string; readonly reason: string }[]
}

/** `bootId` is written along: monotonic deadlines of another boot mean nothing. */
export function createIntentStore({ dir, bootId }: { dir: string; bootId: string }): IntentStore {
  const pathOf = (name: string): string => join(dir, `${name}.json`)
  const corruptNames = new Set<string>()
  return {
    async loadAll() {
      const apps: { app: App; sameBoot: boolean }[] = []
      const corrupt: { name: string; reason: string }[] = []
      for (const name of await namesIn(dir)) {
        const read = await readOne(pathOf(name), name)
        if (read.ok) apps.push({ app: read.app, sameBoot: read.bootId === bootId })
        else corrupt.push({ name, reason: `"${pathOf(name)}" cannot be used: ${read.reason}` })
      }
      corruptNames.clear()
      for (const { name } of corrupt) corruptNames.add(name)
      return { apps, corrupt }
    },
    async save(app) {
      const path = pathOf(app.name)
      if (corruptNames.has(app.name)) {
        throw new DorcError('STATE_CORRUPT', `Cannot save "${app.name}": what "${path}" says is unknown`, {
          hint: 'Restore that file or move it away, then: systemctl restart dorcd',
        })
      }
      await writeFileAtomic(path, writeIntent(app, bootId), 0o600)
    },
    remove: (name) => removeFileDurably(pathOf(name)),
  }
}

/** The apps that have a file. What a crash in the middle of a write left beside them is swept up. */
async function namesIn(dir: string): Promise<string[]> {
  let files: string[]
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 })
    files = await readdir(dir)
  } catch (cause) {
    throw new DorcError('STATE_CORRUPT', `Cannot read the state directory "${dir}"`, {
      cause,
      hint: `Look at it: ls -ld ${dir}`,
    })
  }
  for (const file of files.filter((candidate) => /^\..*\.json\.[0-9a-f]{12}$/.test(candidate))) {
    // It costs a few bytes until the next start.
    await unlink(join(dir, file)).catch(() => undefined)
  }
  return files
    .filter((file) => file.endsWith('.json') && !file.startsWith('.'))
    .map((file) => file.slice(0, -'.json'.length))
    .sort()
}

async function readOne(path: string, name: string): Promise<ReturnType<typeof readIntent>> {
  try {
    const read = readIntent(await readFile(path, 'utf8'))
    if (read.ok && read.app.name !== name) return { ok: false, reason: `it is of an app "${read.app.name}"` }
    return read
  } catch (error) {
    return { ok: false, reason: describeError(error) }
  }
}
