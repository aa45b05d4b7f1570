import { isUtf8 } from 'node:buffer'
import { closeSync, constants } from 'node:fs'
import { check, libc } from '../platform/libc.ts'

/**
 * File access relative to open directories. A path can be changed under our feet by whoever owns a directory in it,
 * an open directory cannot: everything that root does in an uploader's or an app's tree goes through this file.
 * Numbers are those of x86-64 and arm64 alike, unless they come from node:fs, which knows the machine.
 */

const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_REMOVEDIR = 0x200
const AT_NO_AUTOMOUNT = 0x800
const AT_EMPTY_PATH = 0x1000
const RENAME_NOREPLACE = 1
const SYS_OPENAT2 = 437
const FICLONE = 0x40049409
const SYNC_FILE_RANGE_WRITE = 2
const LOCK_EX_NB = 2 | 4
const RESOLVE_NO_XDEV = 0x01n
const RESOLVE_NO_MAGICLINKS = 0x02n
const RESOLVE_NO_SYMLINKS = 0x04n
const RESOLVE_BENEATH = 0x08n
const STATX_BASIC_STATS = 0x7ff

const O_CLOEXEC = 0o2000000
/** A name for a file without the right to use it; opening is free of side effects whatever the file is. */
export const O_PATH = 0o10000000
/** O_NONBLOCK keeps a FIFO from hanging us; it means nothing to files and directories. */
export const READ_FILE = constants.O_RDONLY | constants.O_NONBLOCK
export const READ_DIRECTORY = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_DIRECTORY
export const CREATE_FILE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL

/** The bytes of a name, ended by a NUL, where it need not be UTF-8. */
export type Name = string | Buffer

const syscall = libc.func('long syscall(long number, long fd, const char *name, void *how, long size)')
const statx = libc.func('int statx(int fd, const char *name, int flags, uint32_t mask, void *buffer)')
const lseek = libc.func('int64_t lseek(int fd, int64_t offset, int whence)')
const getdents64 = libc.func('long getdents64(int fd, void *buffer, size_t size)')
const mkdirat = libc.func('int mkdirat(int fd, const char *name, uint32_t mode)')
const unlinkat = libc.func('int unlinkat(int fd, const char *name, int flags)')
const symlinkat = libc.func('int symlinkat(const char *target, int fd, const char *name)')
const readlinkat = libc.func('long readlinkat(int fd, const char *name, void *buffer, size_t size)')
const renameat2 = libc.func(
  'int renameat2(int from, const char *name, int to, const char *newName, uint32_t flags)',
)
const ioctl = libc.func('int ioctl(int fd, unsigned long request, long value)')
const syncfs = libc.func('int syncfs(int fd)')
const syncFileRange = libc.func('int sync_file_range(int fd, int64_t offset, int64_t bytes, uint32_t flags)')
const flock = libc.func('int flock(int fd, int operation)')

/** struct open_how of openat2(2): flags, mode, resolve. */
const openHow = new BigUint64Array(3)

/**
 * Opens one name in a directory: never through a symbolic link, never on another mount, never outside.
 * The caller closes the fd. Throws SystemCallError, with ELOOP for a symbolic link and EXDEV for a mount point.
 */
export function openBeneath(dirFd: number, name: Name, flags: number, mode = 0): number {
  const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
  return openResolving(dirFd, name, { flags: flags | constants.O_NOFOLLOW, mode, resolve })
}

/** Opens a directory by its absolute path; with `throughSymlinks` false no part of it may be a symbolic link. */
export function openDirectory(path: string, throughSymlinks: boolean, flags = READ_DIRECTORY): number {
  const resolve = RESOLVE_NO_MAGICLINKS | (throughSymlinks ? 0n : RESOLVE_NO_SYMLINKS)
  return openResolving(AT_FDCWD, path, { flags: flags | constants.O_DIRECTORY, mode: 0, resolve })
}

function openResolving(
  dirFd: number,
  name: Name,
  { flags, mode, resolve }: { flags: number; mode: number; resolve: bigint },
): number {
  openHow[0] = BigInt(flags | O_CLOEXEC)
  openHow[1] = BigInt(mode)
  openHow[2] = resolve
  return check('openat2', Number(syscall(SYS_OPENAT2, dirFd, name, openHow, openHow.byteLength)))
}

/** Opens a directory in a directory, for as long as `use` takes. */
export function inDirectory<T>(dirFd: number, name: Name, use: (fd: number) => T): T {
  const fd = openBeneath(dirFd, name, READ_DIRECTORY)
  try {
    return use(fd)
  } finally {
    closeSync(fd)
  }
}

/** An fd that is closed at the end of its `using` block. */
export function owned(fd: number): Disposable & { readonly fd: number } {
  return { fd, [Symbol.dispose]: () => closeSync(fd) }
}

export type FileKind = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'device'

export interface Stat {
  readonly kind: FileKind
  /** Permission bits only, with setuid, setgid and sticky. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly links: number
  readonly size: number
  /** Device and inode: the same for two names of one file. Devices may be numbered anew at a boot, inodes stay. */
  readonly identity: string
  readonly inode: string
  /** Nanoseconds, as text: equal or not is all that is asked. */
  readonly modified: string
  readonly changed: string
  readonly changedMs: number
}

const statBuffer = Buffer.alloc(256)

/** What `name` in the directory is, itself if it is a symbolic link. */
export function statAt(dirFd: number, name: Name): Stat {
  check('statx', statx(dirFd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, statBuffer))
  return decodeStat(statBuffer)
}

/** What the path leads to, through any link: for paths in /proc. */
export function statPath(path: string): Stat {
  check('statx', statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_BASIC_STATS, statBuffer))
  return decodeStat(statBuffer)
}

export function statFd(fd: number): Stat {
  check('statx', statx(fd, '', AT_EMPTY_PATH, STATX_BASIC_STATS, statBuffer))
  return decodeStat(statBuffer)
}

/** struct statx (include/uapi/linux/stat.h): the same layout on every machine. */
function decodeStat(buffer: Buffer): Stat {
  const mode = buffer.readUInt16LE(28)
  const changedSeconds = Number(buffer.readBigInt64LE(96))
  const changedNanoseconds = buffer.readUInt32LE(104)
  const inode = String(buffer.readBigUInt64LE(32))
  return {
    kind: kindOf(mode),
    mode: mode & 0o7777,
    links: buffer.readUInt32LE(16),
    uid: buffer.readUInt32LE(20),
    gid: buffer.readUInt32LE(24),
    size: Number(buffer.readBigUInt64LE(40)),
    identity: `${buffer.readUInt32LE(136)}:${buffer.readUInt32LE(140)}:${inode}`,
    inode,
    modified: `${buffer.readBigInt64LE(112)}.${buffer.readUInt32LE(120)}`,
    changed: `${changedSeconds}.${changedNanoseconds}`,
    changedMs: changedSeconds * 1000 + changedNanoseconds / 1e6,
  }
}

function kindOf(mode: number): FileKind {
  switch (mode & constants.S_IFMT) {
    case constants.S_IFREG:
      return 'file'
    case constants.S_IFDIR:
      return 'directory'
    case constants.S_IFLNK:
      return 'symlink'
    case constants.S_IFIFO:
      return 'fifo'
    case constants.S_IFSOCK:
      return 'socket'
    default:
      return 'device'
  }
}

export interface DirectoryName {
  /** With its NUL, to be passed on. */
  readonly bytes: Buffer
  /** Replacement characters where the bytes are not UTF-8. */
  readonly text: string
  readonly isUtf8: boolean
}

/** The names in a directory but `.` and `..`, in no order. */
export function namesIn(dirFd: number): DirectoryName[] {
  check('lseek', Number(lseek(dirFd, 0, 0)))
  const names: DirectoryName[] = []
  const buffer = Buffer.alloc(64 * 1024)
  for (;;) {
    const length = check('getdents64', Number(getdents64(dirFd, buffer, buffer.length)))
    if (length === 0) return names
    for (let offset = 0; offset < length; offset += buffer.readUInt16LE(offset + 16)) {
      const start = offset + 19
      const bytes = Buffer.from(buffer.subarray(start, buffer.indexOf(0, start) + 1))
      const name = bytes.subarray(0, -1)
      const text = name.toString()
      if (text !== '.' && text !== '..') names.push({ bytes, text, isUtf8: isUtf8(name) })
    }
  }
}

export function makeDirectory(dirFd: number, name: Name, mode: number): void {
  check('mkdirat', mkdirat(dirFd, name, mode))
}

export function unlinkFile(dirFd: number, name: Name): void {
  check('unlinkat', unlinkat(dirFd, name, 0))
}

export function removeEmptyDirectory(dirFd: number, name: Name): void {
  check('unlinkat', unlinkat(dirFd, name, AT_REMOVEDIR))
}

export function makeSymlink(target: string, dirFd: number, name: Name): void {
  check('symlinkat', symlinkat(target, dirFd, name))
}

/** The target as bytes: it need not be UTF-8. */
export function readSymlink(dirFd: number, name: Name): Buffer {
  const buffer = Buffer.alloc(4097)
  return buffer.subarray(0, check('readlinkat', Number(readlinkat(dirFd, name, buffer, buffer.length))))
}

/** Replaces what has the new name, if a file can: a directory there is EISDIR. */
export function renameAt(from: number, name: Name, to: number, newName: Name): void {
  check('renameat2', renameat2(from, name, to, newName, 0))
}

/** Throws EEXIST if there is something of the new name. */
export function renameWithoutReplacing(from: number, name: Name, to: number, newName: Name): void {
  check('renameat2', renameat2(from, name, to, newName, RENAME_NOREPLACE))
}

/** Makes `toFd` share the blocks of `fromFd`. False where the file system cannot, or they are on two. */
export function reflink(fromFd: number, toFd: number): boolean {
  return ioctl(toFd, FICLONE, fromFd) === 0
}

/** Everything on the file system of `fd` is on the disk after it; write errors show since Linux 5.8 (syncfs(2)). */
export function syncFileSystem(fd: number): void {
  check('syncfs', syncfs(fd))
}

/** Lets the kernel begin to write the file's pages, so that a later sync has less to wait for; a hint only. */
export function startWriting(fd: number): void {
  syncFileRange(fd, 0, 0, SYNC_FILE_RANGE_WRITE)
}

/** False if somebody else holds it. The lock goes with the last copy of the fd, so it dies with its owner. */
export function tryLock(fd: number): boolean {
  return flock(fd, LOCK_EX_NB) === 0
}
