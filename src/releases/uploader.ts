import { readFileSync } from 'node:fs'
import koffi from 'koffi'
import { check, libc } from '../platform/libc.ts'

/** With whose rights an upload is read. */
export interface Uploader {
  readonly uid: number
  readonly gid: number
}

/**
 * Changes, for this thread, between the rights of the uploader and our own. What the uploader cannot read himself he
 * cannot make us read either, whatever links he plants and however he swaps names.
 */
export interface Rights {
  /** Runs `read` with the uploader's rights on files. Must not be nested. */
  asUploader<T>(read: () => T): T
}

/** CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER: bits 1, 2 and 3 of capabilities(7). */
const FILE_CAPABILITIES = 0b1110n
const NOBODY = 65534

const passwd = koffi.struct({
  pw_name: 'char *',
  pw_passwd: 'char *',
  pw_uid: 'uint32_t',
  pw_gid: 'uint32_t',
})
const getpwuid = libc.func('getpwuid', koffi.pointer(passwd), ['uint32_t'])
const initgroups = libc.func('int initgroups(const char *user, uint32_t gid)')
const setgroups = libc.func('int setgroups(size_t count, void *groups)')
const setfsuid = libc.func('int setfsuid(uint32_t uid)')
const setfsgid = libc.func('int setfsgid(uint32_t gid)')

/**
 * Only root has rights to give up: without them, and for root's own uploads, reading happens as ourselves.
 * Replaces the supplementary groups of this process by the uploader's.
 */
export function rightsOf(uploader: Uploader): Rights {
  if (process.geteuid?.() !== 0 || uploader.uid === 0) return { asUploader: (read) => read() }
  joinGroupsOf(uploader)
  const rights: Rights = {
    asUploader(read) {
      become(uploader)
      try {
        return read()
      } finally {
        become({ uid: 0, gid: 0 })
      }
    },
  }
  rights.asUploader(assertNoFileCapabilities)
  return rights
}

/**
 * The owner of an upload directory as an uploader. The directory's group says nothing about him: in a setgid
 * directory it is a group that he need not be in.
 */
export function uploaderWithUid(uid: number): Uploader {
  return { uid, gid: userWithUid(uid)?.gid ?? (uid === 0 ? 0 : NOBODY) }
}

function joinGroupsOf({ uid, gid }: Uploader): void {
  const user = userWithUid(uid)
  if (user === null) check('setgroups', setgroups(0, null))
  else check('initgroups', initgroups(user.name, gid))
}

function userWithUid(uid: number): { name: string; gid: number } | null {
  const found: unknown = getpwuid(uid)
  if (found === null) return null
  const { pw_name: name, pw_gid: gid } = koffi.decode(found, passwd) as { pw_name: string; pw_gid: number }
  return { name, gid }
}

/**
 * setfsuid(2) reports nothing, so the second call asks what the first one did. Away from 0 the kernel takes the
 * capabilities on files out of the effective set, and gives them back on the way to 0 (capabilities(7)).
 */
function become({ uid, gid }: Uploader): void {
  const NO_CHANGE = 0xffff_ffff
  setfsgid(gid)
  setfsuid(uid)
  if (setfsuid(NO_CHANGE) !== uid || setfsgid(NO_CHANGE) !== gid) {
    throw new Error(`Cannot take the rights of uid ${uid}, gid ${gid}`)
  }
}

/** Securebits can keep the capabilities (SECBIT_NO_SETUID_FIXUP): then the change of user would protect nothing. */
function assertNoFileCapabilities(): void {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/thread-self/status', 'utf8'))
  if (line?.[1] === undefined || (BigInt(`0x${line[1]}`) & FILE_CAPABILITIES) !== 0n) {
    throw new Error('Cannot give up the rights of root on files')
  }
}
