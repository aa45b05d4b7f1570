import { constants } from 'node:os'
import { check, libc, SystemCallError } from './libc.ts'

/**
 * TCP sockets of this network namespace, asked of the kernel over netlink (sock_diag(7)): one dump answers for all
 * processes, without reading /proc. Layouts: <linux/netlink.h>, <linux/inet_diag.h>; host byte order is little-endian
 * on both x86-64 and arm64, ports and addresses are big-endian.
 */
const socket = libc.func('int socket(int domain, int type, int protocol)')
const setsockopt = libc.func('int setsockopt(int fd, int level, int name, void *value, uint32_t length)')
const send = libc.func('long send(int fd, void *bytes, size_t length, int flags)')
const recv = libc.func('long recv(int fd, _Out_ void *bytes, size_t length, int flags)')
const close = libc.func('int close(int fd)')

const AF_INET = 2
const AF_INET6 = 10
const AF_NETLINK = 16
const SOCK_DGRAM_CLOEXEC = 2 | 0x80000
const NETLINK_SOCK_DIAG = 4
const IPPROTO_TCP = 6
const SOL_SOCKET = 1
const SO_RCVTIMEO = 20
const SOCK_DIAG_BY_FAMILY = 20
const SOCK_DESTROY = 21
const NLM_F_REQUEST_ACK = 0x1 | 0x4
const NLM_F_REQUEST_DUMP = 0x1 | 0x300
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const NLMSGHDR_BYTES = 16
const INET_DIAG_REQ_BYTES = 56
const INET_DIAG_MSG_BYTES = 72
/** `struct inet_diag_sockid`, the same in requests and answers. */
const SOCKET_ID_BYTES = 48
const INET_DIAG_INFO = 2
const INET_DIAG_SKV6ONLY = 11
/** `struct tcp_info` (<linux/tcp.h>), since Linux 4.1. */
const TCPI_BYTES_ACKED = 120
const TCPI_BYTES_RECEIVED = 128
/** One message of a dump is never longer (netlink_dump, net/netlink/af_netlink.c: 32 KiB). */
const ANSWER_BYTES = 64 * 1024

/** The kernel's numbers of TCP's states (<net/tcp_states.h>). */
const TCP_ESTABLISHED = 1
const TCP_CLOSE_WAIT = 8
const TCP_LISTEN = 10
const STATES = [TCP_ESTABLISHED, 2, 3, 4, 5, 6, 7, TCP_CLOSE_WAIT, 9, TCP_LISTEN, 11, 12] as const

export interface TcpListener {
  readonly address: string
  readonly port: number
  /** An IPv6 socket that takes no IPv4 connections. */
  readonly isV6Only: boolean
  readonly uid: number
  readonly inode: number
  /** Connections that the kernel accepted and the program has not. */
  readonly acceptQueue: number
  readonly backlog: number
}

export interface TcpConnection {
  readonly localAddress: string
  readonly localPort: number
  readonly peerAddress: string
  readonly peerPort: number
  readonly inode: number
  /** Bytes that came in and were not read. */
  readonly receiveQueue: number
  /** Bytes that went out and were not acknowledged. */
  readonly sendQueue: number
  readonly bytesReceived: number
  /** Sent and acknowledged. */
  readonly bytesSent: number
  /** SO_COOKIE: no other socket gets it until the next boot. */
  readonly cookie: bigint
  /** What `resetConnection` knows the socket by. */
  readonly socketId: SocketId
}

export interface SocketId {
  readonly family: number
  readonly bytes: Buffer
}

/** Every listening TCP socket, or those on one port. Throws SystemCallError if the kernel has no sock_diag. */
export function tcpListeners(port = 0): TcpListener[] {
  const found: TcpListener[] = []
  dump({ states: [TCP_LISTEN], port }, (message, start, end) => {
    found.push({
      address: addressAt(message, start, 8),
      port: message.readUInt16BE(start + 4),
      isV6Only: message[start] === AF_INET6 && attribute(message, start, end, INET_DIAG_SKV6ONLY) === 1,
      uid: message.readUInt32LE(start + 64),
      inode: message.readUInt32LE(start + 68),
      acceptQueue: message.readUInt32LE(start + 56),
      backlog: message.readUInt32LE(start + 60),
    })
  })
  return found
}

/** Connections with this local port that may still carry data to the program behind it. */
export function tcpConnections(localPort: number): TcpConnection[] {
  const found: TcpConnection[] = []
  const wanted = {
    states: [TCP_ESTABLISHED, TCP_CLOSE_WAIT],
    port: localPort,
    extension: INET_DIAG_INFO,
  } as const
  dump(wanted, (message, start, end) => {
    const info = attributeAt(message, start, end, INET_DIAG_INFO)
    const counter = (offset: number): number =>
      info === null ? 0 : Number(message.readBigUInt64LE(info + offset))
    const id = Buffer.from(message.subarray(start + 4, start + 4 + SOCKET_ID_BYTES))
    found.push({
      localAddress: addressAt(message, start, 8),
      localPort: message.readUInt16BE(start + 4),
      peerAddress: addressAt(message, start, 24),
      peerPort: message.readUInt16BE(start + 6),
      inode: message.readUInt32LE(start + 68),
      receiveQueue: message.readUInt32LE(start + 56),
      sendQueue: message.readUInt32LE(start + 60),
      bytesReceived: counter(TCPI_BYTES_RECEIVED),
      bytesSent: counter(TCPI_BYTES_ACKED),
      cookie: id.readBigUInt64LE(40),
      socketId: { family: message.readUInt8(start), bytes: id },
    })
  })
  return found
}

/**
 * Resets a connection at both ends, whoever's it is; false if it is gone. Needs CAP_NET_ADMIN; throws SystemCallError:
 * EPERM, EOPNOTSUPP on a kernel without CONFIG_INET_DIAG_DESTROY.
 */
export function resetConnection({ family, bytes }: SocketId): boolean {
  const asked = requestOf(SOCK_DESTROY, NLM_F_REQUEST_ACK, family)
  bytes.copy(asked, NLMSGHDR_BYTES + 8)
  return withDiagSocket((fd) => {
    check('send', Number(send(fd, asked, asked.length, 0)))
    const answer = Buffer.alloc(ANSWER_BYTES)
    check('recv', Number(recv(fd, answer, ANSWER_BYTES, 0)))
    const errno = -answer.readInt32LE(NLMSGHDR_BYTES)
    if (errno === constants.errno.ENOENT) return false
    if (errno !== 0) throw new SystemCallError('sock_diag destroy', errno)
    return true
  })
}

/** How many `tcpConnections` there are, without making an object of each. */
export function countTcpConnections(localPort: number): number {
  let count = 0
  dump({ states: [TCP_ESTABLISHED, TCP_CLOSE_WAIT], port: localPort }, () => (count += 1))
  return count
}

interface Wanted {
  readonly states: readonly (typeof STATES)[number][]
  /** 0: every port. */
  readonly port: number
  /** One more attribute of each socket, by its INET_DIAG_ number. */
  readonly extension?: number
}

type Visit = (message: Buffer, start: number, end: number) => void

/** Calls back with each inet_diag_msg, which lies between `start` and `end` and is overwritten afterwards. */
function dump(wanted: Wanted, visit: Visit): void {
  withDiagSocket((fd) => {
    for (const family of [AF_INET, AF_INET6]) dumpFamily(fd, request(family, wanted), visit)
  })
}

function withDiagSocket<T>(use: (fd: number) => T): T {
  const fd = check('socket', socket(AF_NETLINK, SOCK_DGRAM_CLOEXEC, NETLINK_SOCK_DIAG) as number)
  try {
    // A dump is answered at once; the limit keeps a broken kernel from stopping the event loop for ever.
    check('setsockopt', setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, secondsAsTimeval(2), 16) as number)
    return use(fd)
  } finally {
    close(fd)
  }
}

function dumpFamily(fd: number, asked: Buffer, visit: Visit): void {
  check('send', Number(send(fd, asked, asked.length, 0)))
  const answer = Buffer.allocUnsafe(ANSWER_BYTES)
  for (;;) {
    const received = check('recv', Number(recv(fd, answer, ANSWER_BYTES, 0)))
    for (let start = 0; start + NLMSGHDR_BYTES <= received; ) {
      const length = answer.readUInt32LE(start)
      const type = answer.readUInt16LE(start + 4)
      if (type === NLMSG_DONE) return
      if (type === NLMSG_ERROR) return ignoreMissingFamily(-answer.readInt32LE(start + NLMSGHDR_BYTES))
      if (type === SOCK_DIAG_BY_FAMILY && length >= NLMSGHDR_BYTES + INET_DIAG_MSG_BYTES)
        visit(answer, start + NLMSGHDR_BYTES, start + length)
      start += aligned(Math.max(length, NLMSGHDR_BYTES))
    }
  }
}

/** ENOENT: the kernel has no such family, as without IPv6 (sock_diag_lock_handler, net/core/sock_diag.c). */
function ignoreMissingFamily(errno: number): void {
  if (errno !== 0 && errno !== 2) throw new SystemCallError('sock_diag', errno)
}

function request(family: number, { states, port, extension = 0 }: Wanted): Buffer {
  const bytes = requestOf(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, family)
  if (extension > 0) bytes.writeUInt8(1 << (extension - 1), 18)
  bytes.writeUInt32LE(
    states.reduce((mask, state) => mask | (1 << state), 0),
    20,
  )
  bytes.writeUInt16BE(port, 24)
  return bytes
}

/** `struct nlmsghdr` and `struct inet_diag_req_v2`, every state wanted. */
function requestOf(type: number, flags: number, family: number): Buffer {
  const bytes = Buffer.alloc(NLMSGHDR_BYTES + INET_DIAG_REQ_BYTES)
  bytes.writeUInt32LE(bytes.length, 0)
  bytes.writeUInt16LE(type, 4)
  bytes.writeUInt16LE(flags, 6)
  bytes.writeUInt8(family, 16)
  bytes.writeUInt8(IPPROTO_TCP, 17)
  return bytes
}

function secondsAsTimeval(seconds: number): Buffer {
  const timeval = Buffer.alloc(16)
  timeval.writeBigInt64LE(BigInt(seconds), 0)
  return timeval
}

function addressAt(message: Buffer, start: number, offset: number): string {
  const at = start + offset
  if (message[start] === AF_INET) return message.subarray(at, at + 4).join('.')
  const groups: string[] = []
  for (let index = 0; index < 16; index += 2) groups.push(message.readUInt16BE(at + index).toString(16))
  return compressed(groups)
}

/** The text form of RFC 5952; an IPv4 address in IPv6 clothes comes out as the IPv4 address that it is. */
function compressed(groups: readonly string[]): string {
  const text = groups.join(':')
  const mapped = /^0:0:0:0:0:ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(text)
  if (mapped !== null) {
    const words = [Number.parseInt(mapped[1] ?? '', 16), Number.parseInt(mapped[2] ?? '', 16)]
    return words.map((word) => `${word >> 8}.${word & 255}`).join('.')
  }
  const runs = text.match(/\b0(:0)+\b/g) ?? []
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), '')
  if (longest === '') return text
  const at = text.indexOf(longest)
  const before = text.slice(0, at).replace(/:$/, '')
  const after = text.slice(at + longest.length).replace(/^:/, '')
  return `${before}::${after}`
}

function attribute(message: Buffer, start: number, end: number, wanted: number): number | null {
  const at = attributeAt(message, start, end, wanted)
  return at === null ? null : message.readUInt8(at)
}

/** Where the attribute's value begins. */
function attributeAt(message: Buffer, start: number, end: number, wanted: number): number | null {
  for (let at = start + INET_DIAG_MSG_BYTES; at + 4 < end; ) {
    const length = message.readUInt16LE(at)
    if (message.readUInt16LE(at + 2) === wanted) return at + 4
    at += aligned(Math.max(length, 4))
  }
  return null
}

const aligned = (length: number): number => (length + 3) & ~3
