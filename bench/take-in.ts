import { execFile } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { systemClock } from '../src/platform/clock.ts'
import type { Logger } from '../src/platform/log.ts'
import { createReleaseStore } from '../src/releases/release-store.ts'
import { median, type Row } from './row.ts'

const run = promisify(execFile)
const silent: Logger = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silent,
}

/**
 * A release taken into the store, which ends durable on disk, against copying it and hashing the copy, which does
 * not; and against the same followed by sync. In turns, each time to a new place.
 */
export async function measureTakeIn(
  dir: string,
  { files, bytes, rounds }: { files: number; bytes: number; rounds: number },
): Promise<Row[]> {
  const source = join(dir, 'release')
  makeTree(source, files, bytes)
  await run('sync', [])
  const times: Record<'take-in' | 'cp -a + sha256sum' | 'cp -a + sync + sha256sum', number[]> = {
    'take-in': [],
    'cp -a + sha256sum': [],
    'cp -a + sync + sha256sum': [],
  }
  for (let round = 0; round < rounds; round += 1) {
    const store = await createReleaseStore({
      signersPath: dir,
      releasesPath: join(dir, `store-${round}`),
      slotsPath: join(dir, `slots-${round}`),
      clock: systemClock,
      log: silent,
    })
    const executables = [{ path: 'd0/f0', mustBeExecutable: false }]
    times['take-in'].push(
      await seconds(() => store.takeIn('bench', { path: source, uploader: null }, { executables })),
    )
    times['cp -a + sha256sum'].push(await seconds(() => copyAndHash(source, join(dir, `copy-${round}`), '')))
    const synced = join(dir, `synced-${round}`)
    times['cp -a + sync + sha256sum'].push(await seconds(() => copyAndHash(source, synced, 'sync -f "$1";')))
  }
  const name = `take in ${files} files, ${Math.round(bytes / 1e6)} MB`
  return Object.entries(times).map(([path, values]) => ({
    case: name,
    path,
    value: median(values),
    unit: 's',
  }))
}

async function copyAndHash(source: string, target: string, between: string): Promise<void> {
  const script = `set -e; cp -a "$0" "$1"; ${between} find "$1" -type f -print0 | xargs -0 sha256sum > /dev/null`
  await run('sh', ['-c', script, source, target])
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return (performance.now() - startedAt) / 1_000
}

function makeTree(root: string, files: number, bytes: number): void {
  const content = Buffer.alloc(Math.floor(bytes / files))
  for (let index = 0; index < files; index += 1) {
    const folder = join(root, `d${Math.floor(index / 100)}`)
    if (index % 100 === 0) mkdirSync(folder, { recursive: true })
    randomFillSync(content, 0, Math.min(4_096, content.length))
    writeFileSync(join(folder, `f${index % 100}`), content)
  }
}
