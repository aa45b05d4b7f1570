import { isIPv6 } from 'node:net'
import koffi from 'koffi'
import type { ListenAddress } from '../../core/definition.ts'
import { check } from '../../platform/libc.ts'
import { AF_INET, AF_INET6, AF_UNIX, getsockname } from './system-calls.ts'

/** `struct sockaddr_in` is 16 bytes, `sockaddr_in6` 28, `sockaddr_un` at most 110 (ip(7), ipv6(7), unix(7)). */
const IN_BYTES = 16
const IN6_BYTES = 28
const UN_PATH_BYTES = 108

/** `host` is an IPv4 or IPv6 address without brackets and without a scope. */
export function encodeSocketAddress({ host, port }: ListenAddress): Buffer {
  const v6 = isIPv6(host)
  const address = Buffer.alloc(v6 ? IN6_BYTES : IN_BYTES)
  address.writeUInt16LE(v6 ? AF_INET6 : AF_INET, 0)
  address.writeUInt16BE(port, 2)
  if (v6) ipv6Bytes(host).copy(address, 8)
  else address.set(host.split('.').map(Number), 4)
  return address
}

export function encodeUnixAddress(path: string): Buffer {
  const bytes = Buffer.from(path)
  if (bytes.length >= UN_PATH_BYTES)
    throw new RangeError(`"${path}" is longer than the ${UN_PATH_BYTES - 1} bytes of a socket's path`)
  const address = Buffer.alloc(2 + bytes.length + 1)
  address.writeUInt16LE(AF_UNIX, 0)
  bytes.copy(address, 2)
  return address
}

/** The address that `fd` is bound to, in the kernel's canonical form; null for other families. */
export function localAddress(fd: number): ListenAddress | null {
  const address = Buffer.alloc(128)
  const length = Buffer.alloc(4)
  length.writeInt32LE(address.length)
  check('getsockname', getsockname(fd, address, length) as number)
  return decodeSocketAddress(address)
}

export function decodeSocketAddress(address: Buffer): ListenAddress | null {
  const port = address.readUInt16BE(2)
  switch (address.readUInt16LE(0)) {
    case AF_INET:
      return { host: [...address.subarray(4, 8)].join('.'), port }
    case AF_INET6:
      return { host: ipv6Text(address.subarray(8, 24)), port }
    default:
      return null
  }
}

/** Two spellings of one address are the same listener: `::1` and `0:0:0:0:0:0:0:1`. */
export function isSameAddress(one: ListenAddress, other: ListenAddress): boolean {
  return encodeSocketAddress(one).equals(encodeSocketAddress(other))
}

/** A client's own address, where a socket of IPv6 tells of an IPv4 client: `::ffff:7f00:1` → `127.0.0.1`. Others as they are. */
export function unmapped(host: string): string {
  const bytes = host.includes(':') ? ipv6Bytes(host) : null
  const isMapped = bytes !== null && bytes.readBigUInt64BE(0) === 0n && bytes.readUInt32BE(8) === 0xffff
  return isMapped ? [...bytes.subarray(12)].join('.') : host
}

function ipv6Bytes(host: string): Buffer {
  const [left = '', right] = ipv4TailAsGroups(host).split('::')
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
  const head = groups(left)
  const tail = right === undefined ? [] : groups(right)
  const bytes = Buffer.alloc(16)
  for (const [index, group] of head.entries()) bytes.writeUInt16BE(group, index * 2)
  for (const [index, group] of tail.entries()) bytes.writeUInt16BE(group, 16 - (tail.length - index) * 2)
  return bytes
}

/** `::ffff:127.0.0.1` → `::ffff:7f00:1`. */
function ipv4TailAsGroups(host: string): string {
  const tail = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(host)
  if (tail === null) return host
  const [a = 0, b = 0, c = 0, d = 0] = tail.slice(1).map(Number)
  return `${host.slice(0, tail.index)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
}

/** RFC 5952: lower case, the longest run of zero groups shortened. */
function ipv6Text(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16)).join(':')
  const runs = [...groups.matchAll(/\b0(:0)+\b/g)]
  const longest = runs.toSorted((one, other) => other[0].length - one[0].length)[0]
  if (longest === undefined) return groups
  const after = groups.slice(longest.index + longest[0].length)
  return `${groups.slice(0, longest.index).replace(/:$/, '')}::${after.replace(/^:/, '')}`
}

/** Where the bytes are, for the system calls that take a bare number. The caller keeps `memory` alive meanwhile. */
export function addressOf(memory: Buffer): number {
  return Number(koffi.address(memory))
}
