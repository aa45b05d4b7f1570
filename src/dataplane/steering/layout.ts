/**
 * Everything that the kernel or the pinned maps fix, in one place. Sources: <linux/bpf.h> of 6.1, unless another is
 * named; the numbers have not changed since sk_lookup came with 5.9.
 */

/** `struct bpf_sk_lookup`, the program's argument: bytes from its start. Addresses are big-endian, `localPort` is not. */
export const CONTEXT = {
  family: 8,
  protocol: 12,
  remoteIp4: 16,
  remoteIp6: 20,
  /** Two bytes, big-endian. */
  remotePort: 36,
  localIp4: 40,
  localIp6: 44,
  localPort: 60,
} as const

export const AF_INET = 2
export const AF_INET6 = 10
export const IPPROTO_TCP = 6

/** Return values of the program. */
export const SK_DROP = 0
export const SK_PASS = 1

export const HELPER = {
  mapLookup: 1,
  mapUpdate: 2,
  ktimeGetNs: 5,
  skRelease: 86,
  skAssign: 124,
} as const

export const MAP_TYPE = { hash: 1, array: 2, lruHash: 9, sockHash: 18 } as const
export const PROG_TYPE_SK_LOOKUP = 30
export const ATTACH_SK_LOOKUP = 36

/**
 * Version of the maps below. Whoever changes the meaning of a byte raises it: maps of another version are not
 * adopted but made anew, and the relay carries the traffic meanwhile.
 */
export const LAYOUT_VERSION = 1

interface MapLayout {
  readonly type: number
  readonly keyBytes: number
  readonly valueBytes: number
  readonly maxEntries: number
}

/** Name of a map, which is the name of its pin, too. */
export type MapName = 'addresses' | 'sockets' | 'guards' | 'births' | 'meta'

export const MAPS: Readonly<Record<MapName, MapLayout>> = {
  /** Where connections come in: ADDRESS → number of the route (u32). */
  addresses: { type: MAP_TYPE.hash, keyBytes: 24, valueBytes: 4, maxEntries: 4096 },
  /** Number of the route → the listening socket that gets its connections. Written as an fd, read as a cookie. */
  sockets: { type: MAP_TYPE.sockHash, keyBytes: 4, valueBytes: 8, maxEntries: 4096 },
  /** Ports (u32) that only this host may connect to. */
  guards: { type: MAP_TYPE.hash, keyBytes: 4, valueBytes: 4, maxEntries: 8192 },
  /** BIRTH → when the connection was steered, in nanoseconds of CLOCK_MONOTONIC. The oldest give way to new ones. */
  births: { type: MAP_TYPE.lruHash, keyBytes: 24, valueBytes: 8, maxEntries: 65_536 },
  /** 0 → META. */
  meta: { type: MAP_TYPE.array, keyBytes: 4, valueBytes: 16, maxEntries: 1 },
}

/** Key of `addresses`. An IPv4 address takes the first four bytes; all zero is every address of the family. */
export const ADDRESS = { ip: 0, port: 16, family: 20, bytes: 24 } as const

/** Key of `births`: the peer, and the port that it connected to. */
export const BIRTH = { ip: 0, remotePort: 16, localPort: 20, bytes: 24 } as const

/** Value of `meta`: what the maps are, and which program works on them. */
export const META = { layoutVersion: 0, programId: 4, programHash: 8, bytes: 16 } as const
