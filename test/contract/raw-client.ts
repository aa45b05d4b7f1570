import { constants } from 'node:os'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import koffi from 'koffi'
import { addressOf, encodeSocketAddress } from '../../src/dataplane/relay/socket-address.ts'
import {
  AF_INET,
  close,
  connect,
  recv,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
} from '../../src/dataplane/relay/system-calls.ts'
import { check, SystemCallError } from '../../src/platform/libc.ts'

/** What a connection to 127.0.0.1 receives, and how it ends. Node's own sockets drop what came just before a reset. */
export async function receiveAll(port: number): Promise<[received: string, ended: string]> {
  const fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) as number
  const address = encodeSocketAddress({ host: '127.0.0.1', port })
  connect(fd, addressOf(address), address.length)
  const chunk = Buffer.allocUnsafeSlow(4096)
  let received = ''
  try {
    for (let waitedMs = 0; waitedMs < 20_000; ) {
      const length = recv(fd, addressOf(chunk), chunk.length, 0) as number
      const errno = length < 0 ? koffi.errno() : 0
      if (length > 0) received += chunk.toString('latin1', 0, length)
      else if (length === 0) return [received, 'end']
      else if (errno !== constants.errno.EAGAIN) return [received, new SystemCallError('recv', errno).code]
      else waitedMs += await sleep(2, 2)
    }
    return [received, 'still open']
  } finally {
    close(fd)
  }
}

/** Opens `count` connections that never say anything: bare fds, closed with the test. */
export function openIdle(t: TestContext, port: number, count: number): void {
  const address = encodeSocketAddress({ host: '127.0.0.1', port })
  const fds = Array.from({ length: count }, () => {
    const fd = check('socket', socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) as number)
    connect(fd, addressOf(address), address.length)
    return fd
  })
  t.after(() => {
    for (const fd of fds) close(fd)
  })
}
