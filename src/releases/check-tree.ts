import { DorcError } from '../core/errors.ts'
import type { FileKind } from './file-calls.ts'
import type { ScannedEntry } from './scan-tree.ts'
import { STAGING_NAME } from './slot-layout.ts'

/** C0, DEL, C1, line and paragraph separators, and what reverses the direction of text on a terminal. */
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
export const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/

/**
 * Refuses, by RELEASE_INVALID, what a release cannot hold. Symbolic links are judged apart, once their targets are
 * read. `uploaderUid` is the owner of the upload.
 */
export function checkTree(entries: readonly ScannedEntry[], uploaderUid: number): void {
  for (const entry of entries) {
    checkName(entry)
    checkKind(entry.path, entry.stat.kind)
  }
  checkHardLinks(entries, uploaderUid)
}

function checkName({ path, name, isUtf8, depth }: ScannedEntry): void {
  if (!isUtf8) throw invalid(`The name of "${path}" is not UTF-8`, 'Rename it')
  if (UNPRINTABLE.test(name)) {
    throw invalid(`The name of ${JSON.stringify(path)} has an unprintable character in it`, 'Rename it')
  }
  if (depth === 0 && name === STAGING_NAME) {
    throw invalid(`The name "${name}" is reserved`, 'Rename or remove it')
  }
}

const SPECIAL_FILES: Readonly<Partial<Record<FileKind, string>>> = {
  fifo: 'a FIFO',
  socket: 'a socket',
  device: 'a device',
}

function checkKind(path: string, kind: FileKind): void {
  const what = SPECIAL_FILES[kind]
  if (what === undefined) return
  throw invalid(
    `"${path}" is ${what}: a release holds files, directories and symbolic links`,
    'Remove it from the upload; the app can make it when it starts',
  )
}

/**
 * A second name can be given to a file that its giver cannot read (fs.protected_hardlinks=0). So a file with more
 * names must be the uploader's own, or have all its names in the tree; root's own proves nothing, since its files are
 * the ones worth stealing.
 */
function checkHardLinks(entries: readonly ScannedEntry[], uploaderUid: number): void {
  const namesInTree = new Map<string, number>()
  const linked = entries.filter(({ stat }) => stat.kind === 'file' && stat.links > 1)
  for (const { stat } of linked) namesInTree.set(stat.identity, (namesInTree.get(stat.identity) ?? 0) + 1)
  for (const { path, stat } of linked) {
    if (stat.uid === uploaderUid && uploaderUid !== 0) continue
    if (namesInTree.get(stat.identity) === stat.links) continue
    throw invalid(
      `"${path}" is a hard link to a file outside of the upload`,
      'Copy the file instead of linking it',
    )
  }
}

function invalid(message: string, hint: string): DorcError {
  return new DorcError('RELEASE_INVALID', message, { hint })
}
