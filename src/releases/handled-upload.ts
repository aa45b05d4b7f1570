import { mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from '../core/errors.ts'
import { writeFileIn } from './atomic-file.ts'
import { openDirectory, owned } from './file-calls.ts'
import { UPLOAD_FILE } from './store-layout.ts'

/** The fingerprint of the upload that was handled last; null: none was. */
export async function loadHandledUpload(appPath: string): Promise<string | null> {
  try {
    return (await readFile(join(appPath, UPLOAD_FILE), 'utf8')).trim()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}

/** Does not fit to be done in a copier: it is a few bytes, once per upload. */
export async function saveHandledUpload(appPath: string, fingerprint: string): Promise<void> {
  mkdirSync(appPath, { recursive: true, mode: 0o700 })
  using app = owned(openDirectory(appPath, true))
  writeFileIn(app.fd, UPLOAD_FILE, `${fingerprint}\n`)
  return Promise.resolve()
}
