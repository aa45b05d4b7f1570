import { statfsSync } from 'node:fs'
import { arch } from 'node:os'
import { describeError } from '../../core/errors.ts'
import { SystemCallError } from '../../platform/libc.ts'
import { isKnownArchitecture } from './bpf.ts'
import { type Kernel, openKernel, unpinAll } from './kernel.ts'

/** <linux/magic.h>. */
const BPF_FS_MAGIC = 0xcafe4a11

/**
 * `openKernel`, or one line that tells an operator why this host has no steering. What a former daemon pinned is taken away then: it would
 * go on steering to where nobody can change it.
 */
export function tryKernel(pins: string | null): Kernel | string {
  if (!isKnownArchitecture()) return `steering does not know this processor (${arch()})`
  if (pins !== null && !isBpfFileSystem(pins)) return `no bpf file system is mounted on ${pins}`
  try {
    return openKernel(pins)
  } catch (error) {
    if (pins !== null) unpinAll(pins)
    return reasonOf(error)
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof SystemCallError)) return describeError(error)
  switch (error.code) {
    case 'EPERM':
    case 'EACCES':
      return `the kernel forbids steering: ${error.message} (CAP_BPF and CAP_NET_ADMIN are needed)`
    case 'ENOSYS':
      return 'the kernel has no bpf(2)'
    case 'EINVAL':
      return `the kernel does not know this steering (Linux 5.9 or newer does): ${describeError(error)}`
    default:
      return describeError(error)
  }
}

function isBpfFileSystem(path: string): boolean {
  try {
    return statfsSync(path).type === BPF_FS_MAGIC
  } catch {
    return false
  }
}
