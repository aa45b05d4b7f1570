import type { ListenAddress } from '../../core/definition.ts'
import { encodeSocketAddress } from '../relay/socket-address.ts'
import { mapDelete, mapKeys, mapLookup, mapUpdate } from './bpf.ts'
import { ADDRESS, AF_INET, AF_INET6, MAPS } from './layout.ts'
import type { MapFds } from './program.ts'

/** A route as the program knows it. It stays the same for as long as one of its addresses is in the table. */
export type RouteNumber = number

/**
 * The maps that decide, as the daemon writes them. All state is in the kernel: a daemon that starts finds the table
 * as the last one left it. Everything here happens at once, and throws SystemCallError.
 */
export class SteeringTable {
  readonly #maps: MapFds

  constructor(maps: MapFds) {
    this.#maps = maps
  }

  /** null if nothing is known of the address. */
  numberOf(listen: ListenAddress): RouteNumber | null {
    const [key] = addressKeys(listen)
    return key === undefined ? null : this.#numberAt(key)
  }

  /** Takes the address in, steering nothing yet. */
  add(listen: ListenAddress): RouteNumber {
    const keys = addressKeys(listen)
    const number = this.numberOf(listen) ?? this.#freeNumber()
    for (const key of keys) mapUpdate(this.#maps.addresses, key, u32(number))
    return number
  }

  /** Forgets every address but these. */
  keepOnly(listens: readonly ListenAddress[]): void {
    const kept = new Set(listens.flatMap(addressKeys).map(hex))
    for (const key of mapKeys(this.#maps.addresses, MAPS.addresses.keyBytes))
      if (!kept.has(hex(key))) mapDelete(this.#maps.addresses, key)
    const numbers = new Set(this.#numbers())
    for (const key of mapKeys(this.#maps.sockets, MAPS.sockets.keyBytes))
      if (!numbers.has(key.readUInt32LE(0))) mapDelete(this.#maps.sockets, key)
  }

  /** From now on new connections go to this listening socket. */
  point(number: RouteNumber, listener: number): void {
    const value = Buffer.alloc(MAPS.sockets.valueBytes)
    value.writeBigUInt64LE(BigInt(listener), 0)
    mapUpdate(this.#maps.sockets, u32(number), value)
  }

  /** From now on new connections take the ordinary way. */
  unpoint(number: RouteNumber): void {
    mapDelete(this.#maps.sockets, u32(number))
  }

  /** SO_COOKIE of the socket that gets the connections; null if none does: the kernel drops a socket that is closed. */
  pointedAt(number: RouteNumber): bigint | null {
    return mapLookup(this.#maps.sockets, u32(number), MAPS.sockets.valueBytes)?.readBigUInt64LE(0) ?? null
  }

  /** Closes exactly these ports to other hosts. */
  guard(ports: readonly number[]): void {
    const wanted = new Set(ports)
    for (const key of mapKeys(this.#maps.guards, MAPS.guards.keyBytes))
      if (!wanted.delete(key.readUInt32LE(0))) mapDelete(this.#maps.guards, key)
    for (const port of wanted) mapUpdate(this.#maps.guards, u32(port), u32(1))
  }

  #numbers(): number[] {
    return mapKeys(this.#maps.addresses, MAPS.addresses.keyBytes)
      .map((key) => this.#numberAt(key))
      .filter((number) => number !== null)
  }

  #freeNumber(): RouteNumber {
    const taken = new Set(this.#numbers())
    for (let number = 1; ; number++) if (!taken.has(number)) return number
  }

  #numberAt(key: Buffer): number | null {
    return mapLookup(this.#maps.addresses, key, MAPS.addresses.valueBytes)?.readUInt32LE(0) ?? null
  }
}

/** The keys of `addresses` that a connection to `listen` may have; `::` takes IPv4, too. */
export function addressKeys({ host, port }: ListenAddress): Buffer[] {
  const key = (family: number, ip: Uint8Array): Buffer => {
    const bytes = Buffer.alloc(ADDRESS.bytes)
    bytes.set(ip, ADDRESS.ip)
    bytes.writeUInt32LE(port, ADDRESS.port)
    bytes.writeUInt32LE(family, ADDRESS.family)
    return bytes
  }
  const address = encodeSocketAddress({ host, port })
  if (address.readUInt16LE(0) === AF_INET) return [key(AF_INET, address.subarray(4, 8))]
  const ip = address.subarray(8, 24)
  return ip.every((byte) => byte === 0) ? [key(AF_INET6, ip), key(AF_INET, ip)] : [key(AF_INET6, ip)]
}

const hex = (key: Buffer): string => key.toString('hex')

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value, 0)
  return bytes
}
