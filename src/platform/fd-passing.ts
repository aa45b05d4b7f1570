import koffi from 'koffi'
import { check, libc } from './libc.ts'

/**
 * Open file descriptors over a unix socket (unix(7), SCM_RIGHTS). The layouts of msghdr, iovec and cmsghdr below are
 * those of 64-bit Linux, the same on x86-64 and arm64.
 */
const sendmsg = libc.func('int sendmsg(int fd, void *message, int flags)')
const recvmsg = libc.func('int recvmsg(int fd, void *message, int flags)')

/** The kernel passes no more in one message (SCM_MAX_FD, net/scm.h). */
export const MAX_FDS_PER_MESSAGE = 253

const MSGHDR_BYTES = 56
const IOVEC_BYTES = 16
const CMSGHDR_BYTES = 16
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const MSG_CMSG_CLOEXEC = 0x40000000
const EAGAIN = 11

/** Sends `bytes` with copies of `fds`; returns how many bytes went, at least one. The caller still owns the fds. */
export function sendWithFds(socketFd: number, bytes: Buffer, fds: readonly number[]): number {
  if (fds.length > MAX_FDS_PER_MESSAGE) throw new RangeError(`More than ${MAX_FDS_PER_MESSAGE} fds at once`)
  const control = Buffer.alloc(fds.length === 0 ? 0 : CMSGHDR_BYTES + Math.ceil((fds.length * 4) / 8) * 8)
  if (fds.length > 0) {
    control.writeBigUInt64LE(BigInt(CMSGHDR_BYTES + fds.length * 4), 0)
    control.writeInt32LE(SOL_SOCKET, 8)
    control.writeInt32LE(SCM_RIGHTS, 12)
    for (const [index, fd] of fds.entries()) control.writeInt32LE(fd, CMSGHDR_BYTES + index * 4)
  }
  const message = messageOf(bytes, control)
  const sent = check('sendmsg', sendmsg(socketFd, message, MSG_NOSIGNAL | MSG_DONTWAIT) as number)
  // `message` holds bare addresses of both: they must not be collected before the call.
  if (sent > bytes.length || control.length < fds.length) throw new Error('sendmsg sent what was not there')
  return sent
}

/**
 * Reads what is there, without waiting: the number of bytes put into `bytes` (0: end of stream, null: nothing there
 * yet) and the fds that came with them, close-on-exec, which the caller owns.
 */
export function receiveWithFds(socketFd: number, bytes: Buffer): { length: number | null; fds: number[] } {
  const control = Buffer.alloc(CMSGHDR_BYTES + Math.ceil((MAX_FDS_PER_MESSAGE * 4) / 8) * 8)
  const message = messageOf(bytes, control)
  const length = recvmsg(socketFd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) as number
  if (length < 0 && koffi.errno() === EAGAIN) return { length: null, fds: [] }
  check('recvmsg', length)
  return { length, fds: fdsIn(control.subarray(0, Number(message.readBigUInt64LE(40)))) }
}

/** A msghdr with its one iovec behind it; it does not keep `bytes` and `control` alive. */
function messageOf(bytes: Buffer, control: Buffer): Buffer {
  const message = Buffer.alloc(MSGHDR_BYTES + IOVEC_BYTES)
  message.writeBigUInt64LE(koffi.address(message) + BigInt(MSGHDR_BYTES), 16)
  message.writeBigUInt64LE(1n, 24)
  if (control.length > 0) {
    message.writeBigUInt64LE(koffi.address(control), 32)
    message.writeBigUInt64LE(BigInt(control.length), 40)
  }
  message.writeBigUInt64LE(koffi.address(bytes), MSGHDR_BYTES)
  message.writeBigUInt64LE(BigInt(bytes.length), MSGHDR_BYTES + 8)
  return message
}

function fdsIn(control: Buffer): number[] {
  const fds: number[] = []
  let offset = 0
  while (offset + CMSGHDR_BYTES <= control.length) {
    const length = Number(control.readBigUInt64LE(offset))
    if (control.readInt32LE(offset + 8) === SOL_SOCKET && control.readInt32LE(offset + 12) === SCM_RIGHTS)
      for (let at = CMSGHDR_BYTES; at + 4 <= length; at += 4) fds.push(control.readInt32LE(offset + at))
    if (length < CMSGHDR_BYTES) break
    offset += Math.ceil(length / 8) * 8
  }
  return fds
}
