import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, readFileSync, writeFileSync } from 'node:fs'
import { hasCode } from '../core/errors.ts'
import { CREATE_FILE, openBeneath, READ_FILE, renameAt, unlinkFile } from './file-calls.ts'

/** After it the file has the new content whatever happens; before it, or after a failure, the old one. */
export function writeFileIn(dirFd: number, name: string, content: string): void {
  const temporary = `${name}.${randomBytes(6).toString('hex')}.tmp`
  const fd = openBeneath(dirFd, temporary, CREATE_FILE, 0o600)
  try {
    try {
      writeFileSync(fd, content)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameAt(dirFd, temporary, dirFd, name)
  } catch (error) {
    unlinkFile(dirFd, temporary)
    throw error
  }
  fsyncSync(dirFd)
}

/** null if there is none. */
export function readFileIn(dirFd: number, name: string): string | null {
  try {
    const fd = openBeneath(dirFd, name, READ_FILE)
    try {
      return readFileSync(fd, 'utf8')
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}

/** Also when there is none; the name is gone for good when it returns. */
export function removeFileIn(dirFd: number, name: string): void {
  try {
    unlinkFile(dirFd, name)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
  fsyncSync(dirFd)
}
