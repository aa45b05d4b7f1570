import { stat } from 'node:fs/promises'
import { describeError, hasCode } from '../core/errors.ts'

/** Why nothing that is uploaded there would be seen, and what to do; null if it would. */
export async function uploadDirProblem(path: string): Promise<string | null> {
  try {
    const found = await stat(path)
    return found.isDirectory() ? null : `"${path}" is not a directory: no upload is seen until it is one`
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR'))
      return `"${path}" is gone: no upload is seen until it is made again, owned by the user who uploads`
    return `"${path}" cannot be looked at: ${describeError(error)}`
  }
}
