import { check, libc } from './libc.ts'

/** sd_notify(3): datagrams to the socket that systemd names in the environment. Node has no unix datagrams. */
const socket = libc.func('int socket(int domain, int type, int protocol)')
const sendto = libc.func(
  'long sendto(int fd, void *bytes, size_t length, int flags, void *address, uint32_t addressLength)',
)
const close = libc.func('int close(int fd)')

const AF_UNIX = 1
const SOCK_DGRAM_CLOEXEC = 2 | 0x80000
const MSG_NOSIGNAL = 0x4000
const MAX_PATH_BYTES = 107

/** `READY=1`, `STOPPING=1`, `STATUS=…`, `WATCHDOG=1`, several with line feeds. Does nothing outside systemd. */
export function notifySystemd(state: string): void {
  const path = process.env['NOTIFY_SOCKET']
  if (path === undefined) return
  const address = unixAddress(path)
  const bytes = Buffer.from(state)
  const fd = check('socket', socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0) as number)
  try {
    check('sendto', Number(sendto(fd, bytes, bytes.length, MSG_NOSIGNAL, address, address.length)))
  } finally {
    close(fd)
  }
}

/** A path, or with a leading `@` a name in the abstract namespace (unix(7)). */
function unixAddress(path: string): Buffer {
  const name = Buffer.from(path.replace(/^@/, '\0'))
  if (name.length > MAX_PATH_BYTES) throw new RangeError(`NOTIFY_SOCKET is too long: "${path}"`)
  const family = Buffer.alloc(2)
  family.writeUInt16LE(AF_UNIX)
  return Buffer.concat([family, name])
}
