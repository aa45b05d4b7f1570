import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * What this build of dorc is known by: daemon and relay of one build work together, a relay of another one is
 * replaced. From a bundle it is a hash of the bundle and the runtime's version; from sources it is `source`.
 */
export function buildId(): string {
  const here = fileURLToPath(import.meta.url)
  return here.endsWith('.ts') ? 'source' : buildIdOf(fileURLToPath(new URL('.', import.meta.url)))
}

/** The same for the bundle in another directory. */
export function buildIdOf(directory: string): string {
  const hash = createHash('sha256').update(process.version)
  const files = readdirSync(directory).filter((name) => name.endsWith('.js'))
  for (const name of files.sort()) hash.update(`\0${name}\0`).update(readFileSync(join(directory, name)))
  return hash.digest('hex').slice(0, 12)
}
