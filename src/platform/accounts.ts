import koffi from 'koffi'
import { libc } from './libc.ts'

/** Users and groups as the system knows them (nsswitch.conf): files, systemd's dynamic users, directories. */
export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
  readonly shell: string
}

// <pwd.h> and <grp.h>: glibc has the same layouts on every 64-bit Linux.
const passwd = koffi.struct('passwd', {
  pw_name: 'str',
  pw_passwd: 'str',
  pw_uid: 'uint32_t',
  pw_gid: 'uint32_t',
  pw_gecos: 'str',
  pw_dir: 'str',
  pw_shell: 'str',
})
const group = koffi.struct('group', {
  gr_name: 'str',
  gr_passwd: 'str',
  gr_gid: 'uint32_t',
  gr_mem: 'void *',
})
const getpwnam = libc.func('getpwnam', koffi.pointer(passwd), ['str'])
const getpwuid = libc.func('getpwuid', koffi.pointer(passwd), ['uint32_t'])
const getgrnam = libc.func('getgrnam', koffi.pointer(group), ['str'])
const getgrouplist = libc.func(
  'int getgrouplist(str user, uint32_t gid, _Out_ uint32_t *groups, _Inout_ int *count)',
)

const MAX_GROUPS = 65_536 // NGROUPS_MAX, <linux/limits.h>

export function accountByName(name: string): Account | null {
  return accountAt(getpwnam(name))
}

export function accountByUid(uid: number): Account | null {
  return accountAt(getpwuid(uid))
}

/** The name of a user, or its number if it has none. */
export function userName(uid: number): string {
  return accountByUid(uid)?.name ?? String(uid)
}

/** All groups of a user, as a fresh login of his would have them; empty for an unknown user. */
export function groupsOf(uid: number): number[] {
  const account = accountByUid(uid)
  if (account === null) return []
  for (let room = 64; room <= MAX_GROUPS; room *= 4) {
    const groups = new Uint32Array(room)
    const count = [room]
    if ((getgrouplist(account.name, account.gid, groups, count) as number) >= 0)
      return [...groups.subarray(0, count[0])]
  }
  return [account.gid]
}

/** False as well if there is no such group. */
export function isInGroup(uid: number, groupName: string): boolean {
  const gid = groupIdOf(groupName)
  return gid !== null && groupsOf(uid).includes(gid)
}

/** null: there is no such group. */
export function groupIdOf(groupName: string): number | null {
  const found = getgrnam(groupName) as unknown
  if (found === null) return null
  return (koffi.decode(found, group) as { gr_gid: number }).gr_gid
}

/** Copies the C library's one static struct before the next call overwrites it. */
function accountAt(pointer: unknown): Account | null {
  if (pointer === null) return null
  const found = koffi.decode(pointer, passwd) as Record<'pw_name' | 'pw_dir' | 'pw_shell', string> &
    Record<'pw_uid' | 'pw_gid', number>
  return {
    name: found.pw_name,
    uid: found.pw_uid,
    gid: found.pw_gid,
    home: found.pw_dir,
    shell: found.pw_shell,
  }
}
