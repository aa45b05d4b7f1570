import { createHash } from 'node:crypto'
import { Assembler, type Place, r0, r1, r2, r3, r4, r6, r7, r8, r9, r10 } from './assembler.ts'
import {
  ADDRESS,
  AF_INET,
  AF_INET6,
  BIRTH,
  CONTEXT,
  HELPER,
  IPPROTO_TCP,
  type MapName,
  SK_DROP,
  SK_PASS,
} from './layout.ts'

export type MapFds = Readonly<Record<MapName, number>>

/** Stack, from its end downwards. */
const address = -ADDRESS.bytes
const birth = address - BIRTH.bytes
const bornAt = birth - 8
const number = bornAt - 8
const stack = (offset: number): Place => [r10, offset]
const context = (offset: number): Place => [r6, offset]

/**
 * The program that the kernel runs for each connection that has no socket yet (bpf: prog_sk_lookup). It looks for
 * the route of the address that the client connected to, an exact address before a wildcard, and hands the connection
 * to the route's listening socket. Without a route or a socket, or if the socket cannot take it (EAFNOSUPPORT: an
 * IPv6 client, an IPv4 listener), the kernel goes on as if there were no program: the relay listens there. Ports of
 * slots are closed to other hosts.
 */
export function steeringProgram(maps: MapFds): Buffer {
  const asm = new Assembler()
  asm.move(r6, r1)
  asm.load(4, r2, context(CONTEXT.protocol))
  asm.jumpIf(r2, '!=', IPPROTO_TCP, 'pass')
  readAddress(asm)
  findRoute(asm, maps)
  guard(asm, maps)

  asm.label('route')
  asm.load(4, r2, [r0, 0])
  asm.store(4, stack(number), r2)
  lookUp(asm, maps.sockets, number)
  asm.jumpIf(r0, '==', 0, 'pass')
  asm.move(r8, r0)
  asm.move(r1, r6)
  asm.move(r2, r8)
  asm.moveNumber(r3, 0)
  asm.call(HELPER.skAssign)
  asm.move(r9, r0)
  asm.move(r1, r8)
  asm.call(HELPER.skRelease)
  asm.jumpIf(r9, '!=', 0, 'pass')
  rememberBirth(asm, maps)

  asm.label('pass')
  asm.moveNumber(r0, SK_PASS)
  asm.exit()
  asm.label('drop')
  asm.moveNumber(r0, SK_DROP)
  asm.exit()
  return asm.assemble()
}

/** Tells programs apart. Not the kernel's `tag`, which kernels compute differently (SHA-1 before 6.18, SHA-256 since). */
export function programHash(): Buffer {
  const noMaps: MapFds = { addresses: 0, sockets: 0, guards: 0, births: 0, meta: 0 }
  return createHash('sha256').update(steeringProgram(noMaps)).digest().subarray(0, 8)
}

/** Puts the key of `addresses` on the stack. */
function readAddress(asm: Assembler): void {
  for (const offset of [0, 8]) asm.storeNumber(8, stack(address + offset), 0)
  asm.load(4, r7, context(CONTEXT.family))
  asm.store(4, stack(address + ADDRESS.family), r7)
  asm.load(4, r2, context(CONTEXT.localPort))
  asm.store(4, stack(address + ADDRESS.port), r2)
  asm.jumpIf(r7, '==', AF_INET6, 'address of IPv6')
  asm.jumpIf(r7, '!=', AF_INET, 'pass')
  copyWord(asm, CONTEXT.localIp4, address)
  asm.jump('address is read')
  asm.label('address of IPv6')
  for (const offset of [0, 4, 8, 12]) copyWord(asm, CONTEXT.localIp6 + offset, address + offset)
  asm.label('address is read')
}

/** Goes to `route` with r0 at its number, or on. */
function findRoute(asm: Assembler, maps: MapFds): void {
  lookUp(asm, maps.addresses, address)
  asm.jumpIf(r0, '!=', 0, 'route')
  for (const offset of [0, 8]) asm.storeNumber(8, stack(address + offset), 0)
  lookUp(asm, maps.addresses, address)
  asm.jumpIf(r0, '!=', 0, 'route')
}

/**
 * Ends here, one way or the other. Whoever connects from a loopback address or from the very address that it connects to is on this
 * host: the kernel takes neither from outside (ip_route_input_slow, "martian source"; ipv6_rcv drops ::1).
 */
function guard(asm: Assembler, maps: MapFds): void {
  lookUp(asm, maps.guards, address + ADDRESS.port)
  asm.jumpIf(r0, '==', 0, 'pass')
  asm.jumpIf(r7, '==', AF_INET6, 'guard of IPv6')
  asm.load(4, r2, context(CONTEXT.remoteIp4))
  asm.load(4, r3, context(CONTEXT.localIp4))
  asm.jumpIfRegister(r2, '==', r3, 'pass')
  // The address is big-endian, so its first byte is the lowest here.
  asm.and(r2, 0xff)
  asm.jumpIf(r2, '==', 127, 'pass')
  asm.jump('drop')
  asm.label('guard of IPv6')
  // ::1 connects to ::1 only, or is dropped by the kernel: comparing is enough.
  for (const offset of [0, 4, 8, 12]) {
    asm.load(4, r2, context(CONTEXT.remoteIp6 + offset))
    asm.load(4, r3, context(CONTEXT.localIp6 + offset))
    asm.jumpIfRegister(r2, '!=', r3, 'drop')
  }
  asm.jump('pass')
}

/** Without this nobody could tell how old a connection is: the kernel does not keep it. */
function rememberBirth(asm: Assembler, maps: MapFds): void {
  for (const offset of [0, 8]) asm.storeNumber(8, stack(birth + offset), 0)
  asm.jumpIf(r7, '==', AF_INET6, 'birth of IPv6')
  copyWord(asm, CONTEXT.remoteIp4, birth)
  asm.jump('peer is read')
  asm.label('birth of IPv6')
  for (const offset of [0, 4, 8, 12]) copyWord(asm, CONTEXT.remoteIp6 + offset, birth + offset)
  asm.label('peer is read')
  asm.load(2, r2, context(CONTEXT.remotePort))
  asm.store(4, stack(birth + BIRTH.remotePort), r2)
  asm.load(4, r2, context(CONTEXT.localPort))
  asm.store(4, stack(birth + BIRTH.localPort), r2)
  asm.call(HELPER.ktimeGetNs)
  asm.store(8, stack(bornAt), r0)
  asm.loadMap(r1, maps.births)
  asm.pointTo(r2, stack(birth))
  asm.pointTo(r3, stack(bornAt))
  asm.moveNumber(r4, 0)
  asm.call(HELPER.mapUpdate)
}

function copyWord(asm: Assembler, from: number, to: number): void {
  asm.load(4, r2, context(from))
  asm.store(4, stack(to), r2)
}

/** r0: where the value is, or 0. */
function lookUp(asm: Assembler, map: number, key: number): void {
  asm.loadMap(r1, map)
  asm.pointTo(r2, stack(key))
  asm.call(HELPER.mapLookup)
}
