import { arch } from 'node:os'
import koffi from 'koffi'
import { check, libc, SystemCallError } from '../../platform/libc.ts'
import { ATTACH_SK_LOOKUP, type MapName, MAPS, PROG_TYPE_SK_LOOKUP } from './layout.ts'

/**
 * bpf(2), a function each command. `union bpf_attr` (<linux/bpf.h>) is written field by field; what is not named is
 * zero. All throw SystemCallError; every fd that they return is close-on-exec (the kernel's own choice) and the
 * caller's.
 */
const syscall = libc.func('long syscall(long number, int command, void *attributes, unsigned int size)')

const COMMAND = {
  mapCreate: 0,
  mapLookup: 1,
  mapUpdate: 2,
  mapDelete: 3,
  mapNextKey: 4,
  progLoad: 5,
  objPin: 6,
  objGet: 7,
  infoByFd: 15,
  linkCreate: 28,
  linkUpdate: 29,
} as const

/** bpf came after the tables of the older architectures had drifted apart (asm/unistd.h). */
const NUMBERS: Readonly<Record<string, number>> = { x64: 321, arm64: 280 }

/** Reads as the program's licence, which some helpers ask for before Linux 5.8. */
const LICENSE = Buffer.from('Dual MIT/GPL\0')
const VERIFIER_LOG_BYTES = 64 * 1024
const INFO_BYTES = 256

const LINK_INFO = { programId: 8, networkNamespace: 16 } as const
const PROGRAM_INFO = { id: 4 } as const
const MAP_INFO = { type: 0, keyBytes: 8, valueBytes: 12, maxEntries: 16 } as const

/** Whether this runtime's architecture is one whose system call numbers are known here. */
export const isKnownArchitecture = (): boolean => arch() in NUMBERS

export function createMap(name: MapName): number {
  const { type, keyBytes, valueBytes, maxEntries } = MAPS[name]
  const attributes = attributesOf([
    [0, type],
    [4, keyBytes],
    [8, valueBytes],
    [12, maxEntries],
  ])
  attributes.write(`dorc_${name}`, 28, 15)
  return bpf('mapCreate', attributes)
}

/** Whether the map that a pin led to is the one that this version means. */
export function isMapLike(fd: number, name: MapName): boolean {
  const info = infoOf(fd)
  const { type, keyBytes, valueBytes, maxEntries } = MAPS[name]
  return (
    info.readUInt32LE(MAP_INFO.type) === type &&
    info.readUInt32LE(MAP_INFO.keyBytes) === keyBytes &&
    info.readUInt32LE(MAP_INFO.valueBytes) === valueBytes &&
    info.readUInt32LE(MAP_INFO.maxEntries) === maxEntries
  )
}

/** null if there is no such key. */
export function mapLookup(fd: number, key: Buffer, valueBytes: number): Buffer | null {
  const value = Buffer.alloc(valueBytes)
  return isFound('mapLookup', elementAttributes(fd, key, value)) ? value : null
}

export function mapUpdate(fd: number, key: Buffer, value: Buffer): void {
  bpf('mapUpdate', elementAttributes(fd, key, value))
}

/** False if there was no such key. */
export function mapDelete(fd: number, key: Buffer): boolean {
  return isFound('mapDelete', elementAttributes(fd, key, null))
}

/** Every key. A key that is removed meanwhile may make the walk begin anew: few keys, few writers, so keys are kept apart. */
export function mapKeys(fd: number, keyBytes: number): Buffer[] {
  const keys = new Map<string, Buffer>()
  let last: Buffer | null = null
  for (;;) {
    const next: Buffer = Buffer.alloc(keyBytes)
    if (!isFound('mapNextKey', elementAttributes(fd, last, next)) || keys.has(next.toString('hex')))
      return [...keys.values()]
    keys.set(next.toString('hex'), next)
    last = next
  }
}

/** An error carries the verifier's last words as its cause. */
export function loadProgram(instructions: Buffer): number {
  const log = Buffer.alloc(VERIFIER_LOG_BYTES)
  const withLog = (isLogged: boolean): Buffer => {
    const attributes = attributesOf([
      [0, PROG_TYPE_SK_LOOKUP],
      [4, instructions.length / 8],
      [24, isLogged ? 1 : 0],
      [28, isLogged ? log.length : 0],
      [68, ATTACH_SK_LOOKUP],
    ])
    attributes.writeBigUInt64LE(koffi.address(instructions), 8)
    attributes.writeBigUInt64LE(koffi.address(LICENSE), 16)
    if (isLogged) attributes.writeBigUInt64LE(koffi.address(log), 32)
    attributes.write('dorc_steering', 48, 15)
    return attributes
  }
  try {
    return bpf('progLoad', withLog(false))
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.code === 'EPERM') throw error
    // Once more with a log, which costs memory that a good program need not pay for.
    try {
      return bpf('progLoad', withLog(true))
    } catch {
      error.cause = new Error(log.toString('utf8', 0, log.indexOf(0)).trim().split('\n').slice(-3).join('; '))
      throw error
    }
  }
}

/** Attaches a program to a network namespace, given as an fd of its file. */
export function createLink(program: number, networkNamespace: number): number {
  return bpf(
    'linkCreate',
    attributesOf([
      [0, program],
      [4, networkNamespace],
      [8, ATTACH_SK_LOOKUP],
    ]),
  )
}

/** Puts another program in the place of the link's; each connection meets one or the other. */
export function updateLink(link: number, program: number): void {
  bpf(
    'linkUpdate',
    attributesOf([
      [0, link],
      [4, program],
    ]),
  )
}

export interface LinkInfo {
  readonly programId: number
  /** Inode of the network namespace; 0 if the link was detached. */
  readonly networkNamespace: number
}

export function linkInfo(fd: number): LinkInfo {
  const info = infoOf(fd)
  return {
    programId: info.readUInt32LE(LINK_INFO.programId),
    networkNamespace: info.readUInt32LE(LINK_INFO.networkNamespace),
  }
}

export const programId = (fd: number): number => infoOf(fd).readUInt32LE(PROGRAM_INFO.id)

export function pin(fd: number, path: string): void {
  const name = Buffer.from(`${path}\0`)
  const attributes = attributesOf([[8, fd]])
  attributes.writeBigUInt64LE(koffi.address(name), 0)
  bpf('objPin', attributes)
}

/** null if nothing is pinned there. */
export function openPinned(path: string): number | null {
  const name = Buffer.from(`${path}\0`)
  const attributes = attributesOf([])
  attributes.writeBigUInt64LE(koffi.address(name), 0)
  try {
    return bpf('objGet', attributes)
  } catch (error) {
    if (error instanceof SystemCallError && error.code === 'ENOENT') return null
    throw error
  }
}

function infoOf(fd: number): Buffer {
  const info = Buffer.alloc(INFO_BYTES)
  const attributes = attributesOf([
    [0, fd],
    [4, info.length],
  ])
  attributes.writeBigUInt64LE(koffi.address(info), 8)
  bpf('infoByFd', attributes)
  return info
}

function elementAttributes(fd: number, key: Buffer | null, value: Buffer | null): Buffer {
  const attributes = attributesOf([[0, fd]])
  if (key !== null) attributes.writeBigUInt64LE(koffi.address(key), 8)
  if (value !== null) attributes.writeBigUInt64LE(koffi.address(value), 16)
  return attributes
}

/** Longer than any kernel's union of today: what a kernel does not know has to be zero, and is. */
function attributesOf(fields: readonly (readonly [offset: number, value: number])[]): Buffer {
  const attributes = Buffer.alloc(128)
  for (const [offset, value] of fields) attributes.writeUInt32LE(value, offset)
  return attributes
}

function isFound(command: keyof typeof COMMAND, attributes: Buffer): boolean {
  try {
    bpf(command, attributes)
    return true
  } catch (error) {
    if (error instanceof SystemCallError && error.code === 'ENOENT') return false
    throw error
  }
}

function bpf(command: keyof typeof COMMAND, attributes: Buffer): number {
  const result = syscall(NUMBERS[arch()] ?? -1, COMMAND[command], attributes, attributes.length) as number
  return check(`bpf ${command}`, result)
}
