import { accessSync, constants, statSync } from 'node:fs'
import { hasCode } from '../../core/errors.ts'
import type { SlotProcess } from '../../core/slot-process.ts'
import { accountByName, accountByUid, type Account } from '../../platform/accounts.ts'

/** Why a slot cannot run as `user`; null if it can. */
export function problemOfUser(user: string | null): string | null {
  if (user === null) return null
  const account = accountByName(user)
  if (account === null) return `There is no user "${user}"`
  const own = process.getuid?.() ?? 0
  return own === 0 || account.uid === own ? null : `Only root can start a process as user "${user}"`
}

/** The account to change to before a slot's program runs; null: it stays the daemon's own. */
export function accountOf(user: string | null): Account | null {
  const account = user === null ? null : accountByName(user)
  return account === null || account.uid === process.getuid?.() ? null : account
}

/** As clean as under systemd: nothing of the daemon's own environment but the search path. */
export function slotEnvironment(
  slot: SlotProcess,
  extra: Readonly<Record<string, string>>,
): Record<string, string> {
  const account = accountOf(slot.user) ?? accountByUid(process.getuid?.() ?? 0)
  const base: Record<string, string> = {
    PATH: process.env['PATH'] ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    LANG: process.env['LANG'] ?? 'C.UTF-8',
  }
  if (account !== null) {
    const { name, home, shell } = account
    Object.assign(base, { USER: name, LOGNAME: name, HOME: home, SHELL: shell })
  }
  return { ...base, ...slot.environment, ...extra }
}

/** Why a program did not start; execve(2) has one errno for several mistakes. */
export function explainStartFailure(slot: SlotProcess, error: Error | null): string {
  const file = slot.startArgv[0] ?? ''
  return (
    problemOfDirectory(slot.workingDir) ??
    problemOfProgram(file) ??
    (hasCode(error, 'ENOENT')
      ? `The interpreter named in the first line of "${file}" does not exist`
      : `"${file}" cannot be run: ${error?.message ?? 'no process'}`)
  )
}

function problemOfDirectory(path: string): string | null {
  return ifFails(path, () => {
    if (!statSync(path).isDirectory()) return `The working directory "${path}" is not a directory`
    accessSync(path, constants.X_OK)
    return null
  })
}

function problemOfProgram(path: string): string | null {
  return ifFails(path, () => {
    const stat = statSync(path)
    if (!stat.isFile()) return `"${path}" is not a file`
    return (stat.mode & 0o111) === 0 ? `"${path}" is not executable` : null
  })
}

function ifFails(path: string, check: () => string | null): string | null {
  try {
    return check()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return `"${path}" does not exist`
    if (hasCode(error, 'EACCES')) return `"${path}" may not be accessed`
    if (hasCode(error, 'ENOTDIR')) return `"${path}" lies below something that is not a directory`
    throw error
  }
}
