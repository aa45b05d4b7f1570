import type { Socket } from 'node:net'
import { check, libc } from './libc.ts'

const getsockopt = libc.func(
  'int getsockopt(int fd, int level, int name, _Out_ void *value, _Inout_ uint32_t *length)',
)

const SOL_SOCKET = 1
const SO_PEERCRED = 17
const UCRED_BYTES = 12

export interface PeerCredentials {
  readonly pid: number
  readonly uid: number
  readonly gid: number
}

/**
 * Who connected to a unix socket, as the kernel noted it at connect (unix(7), SO_PEERCRED). The pid may be another
 * process's by now: it is for people. Throws if the socket is closed or is none of the unix family.
 */
export function peerCredentials(socket: Socket): PeerCredentials {
  const value = Buffer.alloc(UCRED_BYTES)
  const length = [UCRED_BYTES]
  check('getsockopt', getsockopt(fdOf(socket), SOL_SOCKET, SO_PEERCRED, value, length) as number)
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) }
}

/** Node has no public way to the fd of a socket; `_handle.fd` has been there in every version. */
function fdOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } | null }
  if (typeof handle?.fd !== 'number' || handle.fd < 0) throw new Error('The socket is closed')
  return handle.fd
}
