import { mkdir, readdir, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { App } from '../core/app.ts'
import { describeError } from '../core/errors.ts'
import { removeFileDurably, writeFileAtomic } from './atomic-write.ts'
import { readIntent, writeIntent } from './intent-file.ts'

/** One small file per app: what one of them suffers never holds up another. */
export interface IntentStore {
  /** Every app that can be read, and every file that cannot, with the reason; those are left as they are. */
  loadAll(): Promise<LoadedIntents>
  /** Durable when it resolves. Throws DISK_FULL or STATE_NOT_SAVED; the file is then as it was. */
  save(app: App): Promise<void>
  remove(name: string): Promise<void>
}

export interface LoadedIntents {
  readonly apps: readonly { readonly app: App; readonly sameBoot: boolean }[]
  readonly corrupt: readonly { readonly name: string; readonly reason: string }[]
}

/** `bootId` is written along: monotonic deadlines of another boot mean nothing. */
export function createIntentStore({ dir, bootId }: { dir: string; bootId: string }): IntentStore {
  const pathOf = (name: string): string => join(dir, `${name}.json`)
  return {
    async loadAll() {
      await mkdir(dir, { recursive: true, mode: 0o700 })
      const names = await readdir(dir)
      await removeTemporaries(dir, names)
      const apps: { app: App; sameBoot: boolean }[] = []
      const corrupt: { name: string; reason: string }[] = []
      for (const file of names.filter((name) => name.endsWith('.json') && !name.startsWith('.')).sort()) {
        const name = file.slice(0, -'.json'.length)
        const read = await readOne(join(dir, file), name)
        if (read.ok) apps.push({ app: read.app, sameBoot: read.bootId === bootId })
        else corrupt.push({ name, reason: `"${join(dir, file)}" cannot be used: ${read.reason}` })
      }
      return { apps, corrupt }
    },
    save: (app) => writeFileAtomic(pathOf(app.name), writeIntent(app, bootId), 0o600),
    remove: (name) => removeFileDurably(pathOf(name)),
  }
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

/** What a crash in the middle of a write leaves beside the files. */
async function removeTemporaries(dir: string, names: readonly string[]): Promise<void> {
  for (const name of names.filter((candidate) => /^\..*\.json\.[0-9a-f]{12}$/.test(candidate)))
    await unlink(join(dir, name))
}
