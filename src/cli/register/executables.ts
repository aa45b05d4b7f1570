import { constants, type Stats } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { extname, join, relative } from 'node:path'
import { hasCode } from '../../core/errors.ts'
import { DEFAULT_START } from './answers.ts'

/** Enough for any release whose executable is worth guessing. */
const DEEPEST = 3
const MOST_ENTRIES = 2_000

const interpreters: Readonly<Record<string, string>> = {
  '.py': 'python3',
  '.js': 'node',
  '.mjs': 'node',
  '.rb': 'ruby',
  '.sh': 'sh',
}

/** The only executable file in an upload, or the one that is called like the app; null if that is not clear. */
export async function guessExecutable(uploadDir: string, app: string): Promise<string | null> {
  const found = await executablesIn(uploadDir)
  if (found.length === 1) return found[0] ?? null
  const named = found.filter((path) => path === app || path.endsWith(`/${app}`))
  return named.length === 1 ? (named[0] ?? null) : null
}

/** Why `executable` cannot be what the release in `uploadDir` runs; null if it can, or if nothing is uploaded yet. */
export async function executableProblem(uploadDir: string, executable: string): Promise<string | null> {
  if ((await namesIn(uploadDir)).length === 0) return null
  const path = join(uploadDir, executable)
  const found = await statOf(path)
  if (found === null) return `"${path}" does not exist`
  if (!found.isFile()) return `"${path}" is not a file`
  if ((await isExecutable(path)) || defaultStart(executable, false) !== DEFAULT_START) return null
  return `"${path}" is not executable: chmod +x ${path}`
}

/** How to start it: a script that cannot run by itself gets its interpreter. */
export async function guessStart(uploadDir: string, executable: string): Promise<string> {
  const path = join(uploadDir, executable)
  const isPresent = (await namesIn(uploadDir)).length > 0
  return defaultStart(executable, !isPresent || (await isExecutable(path)))
}

function defaultStart(executable: string, canRunItself: boolean): string {
  const interpreter = interpreters[extname(executable)]
  return canRunItself || interpreter === undefined
    ? DEFAULT_START
    : `/usr/bin/env ${interpreter} ${DEFAULT_START}`
}

async function executablesIn(root: string): Promise<string[]> {
  const found: string[] = []
  let left = MOST_ENTRIES
  const visit = async (directory: string, depth: number): Promise<void> => {
    for (const entry of await namesIn(directory)) {
      left -= 1
      if (left < 0) return
      const path = join(directory, entry.name)
      if (entry.isDirectory() && depth < DEEPEST && entry.name !== 'node_modules')
        await visit(path, depth + 1)
      if (entry.isFile() && (await isExecutable(path))) found.push(relative(root, path))
    }
  }
  await visit(root, 1)
  return found
}

async function namesIn(directory: string) {
  try {
    return await readdir(directory, { withFileTypes: true })
  } catch (error) {
    // What cannot be read has nothing to propose; the daemon tells what is wrong with it.
    if (['ENOENT', 'ENOTDIR', 'EACCES'].some((code) => hasCode(error, code))) return []
    throw error
  }
}

async function statOf(path: string): Promise<Stats | null> {
  try {
    return await stat(path)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG'].some((code) => hasCode(error, code)))
      return null
    throw error
  }
}

/** By its mode: what root may execute says nothing about the app's user. False for what is not there: the daemon tells of that. */
async function isExecutable(path: string): Promise<boolean> {
  const mode = (await statOf(path))?.mode ?? 0
  return (mode & (constants.S_IXUSR | constants.S_IXGRP | constants.S_IXOTH)) !== 0
}
