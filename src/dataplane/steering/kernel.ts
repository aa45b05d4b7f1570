import { mkdirSync, openSync, renameSync, rmSync, statSync, closeSync } from 'node:fs'
import { join } from 'node:path'
import { closeFd } from '../../platform/pidfd.ts'
import {
  createLink,
  createMap,
  isMapLike,
  linkInfo,
  loadProgram,
  mapLookup,
  mapUpdate,
  openPinned,
  pin,
  programId,
  updateLink,
} from './bpf.ts'
import { LAYOUT_VERSION, type MapName, MAPS, META } from './layout.ts'
import { type MapFds, programHash, steeringProgram } from './program.ts'

/** What is in force in the kernel. The holder closes it with `closeKernel`; what is pinned stays in force. */
export interface Kernel {
  readonly maps: MapFds
  readonly link: number
}

const MAP_NAMES = Object.keys(MAPS) as MapName[]
const OWN_NAMESPACE = '/proc/self/ns/net'

/**
 * Opens what is pinned in `pins`, or makes it: maps, program, link. `pins` is a directory of a bpffs; null: nothing is
 * pinned, and all ends with this process. Whatever a crash left half done is completed or made anew: a link is always
 * replaced by update, so that there is never a second one, and the last thing that is pinned. Throws SystemCallError: EPERM
 * without CAP_BPF and CAP_NET_ADMIN, EINVAL on a kernel without sk_lookup (before 5.9).
 */
export function openKernel(pins: string | null): Kernel {
  if (pins === null) return attachAnew(null)
  mkdirSync(pins, { recursive: true, mode: 0o700 })
  const link = openPinned(join(pins, 'link'))
  const maps = openPinnedMaps(pins)
  if (link === null || maps === null || !isOneSet({ maps, link })) {
    closeAll([...(link === null ? [] : [link]), ...(maps === null ? [] : Object.values(maps))])
    return attachAnew(pins)
  }
  upgradeProgram({ maps, link })
  return { maps, link }
}

export function closeKernel({ maps, link }: Kernel): void {
  closeAll([...Object.values(maps), link])
}

/** Ends what nobody holds open. */
export function unpinAll(pins: string): void {
  for (const name of ['link', ...MAP_NAMES]) rmSync(join(pins, name), { force: true })
}

/** What is amiss: somebody deleted pins or detached the link; null if all is well. */
export function damageOf(kernel: Kernel, pins: string | null): string | null {
  if (linkInfo(kernel.link).networkNamespace !== statSync(OWN_NAMESPACE).ino) return 'the link was detached'
  if (pins === null) return null
  for (const name of ['link', ...MAP_NAMES])
    if (statSync(join(pins, name), { throwIfNoEntry: false }) === undefined)
      return `the pin "${name}" is gone`
  return null
}

/** Maps, program and link that belong together, in the network namespace of this process. */
function isOneSet({ maps, link }: Kernel): boolean {
  const info = linkInfo(link)
  const meta = readMeta(maps)
  return (
    info.networkNamespace === statSync(OWN_NAMESPACE).ino &&
    meta.readUInt32LE(META.layoutVersion) === LAYOUT_VERSION &&
    meta.readUInt32LE(META.programId) === info.programId &&
    MAP_NAMES.every((name) => isMapLike(maps[name], name))
  )
}

function openPinnedMaps(pins: string): MapFds | null {
  const fds: [MapName, number][] = []
  for (const name of MAP_NAMES) {
    const fd = openPinned(join(pins, name))
    if (fd !== null) fds.push([name, fd])
  }
  if (fds.length === MAP_NAMES.length) return Object.fromEntries(fds) as Record<MapName, number>
  closeAll(fds.map(([, fd]) => fd))
  return null
}

/** A new version of the program on the same maps: no connection sees a gap. */
function upgradeProgram({ maps, link }: Kernel): void {
  const hash = programHash()
  if (
    readMeta(maps)
      .subarray(META.programHash, META.programHash + hash.length)
      .equals(hash)
  )
    return
  const program = loadProgram(steeringProgram(maps))
  try {
    writeMeta(maps, program)
    updateLink(link, program)
  } finally {
    closeFd(program)
  }
}

/** Fresh maps, so nothing is steered until they are filled: the relay takes what comes meanwhile. */
function attachAnew(pins: string | null): Kernel {
  const maps = Object.fromEntries(MAP_NAMES.map((name) => [name, createMap(name)])) as Record<MapName, number>
  const program = loadProgram(steeringProgram(maps))
  try {
    writeMeta(maps, program)
    const link = linkTo(program, pins)
    if (pins !== null) pinAll(pins, { ...maps, link })
    return { maps, link }
  } catch (error) {
    closeAll(Object.values(maps))
    throw error
  } finally {
    closeFd(program)
  }
}

/** A link that is pinned and attached is kept, with another program: two links would run two programs. */
function linkTo(program: number, pins: string | null): number {
  const pinned = pins === null ? null : openPinned(join(pins, 'link'))
  const namespace = openSync(OWN_NAMESPACE, 'r')
  try {
    if (pinned === null) return createLink(program, namespace)
    if (linkInfo(pinned).networkNamespace === statSync(OWN_NAMESPACE).ino) {
      updateLink(pinned, program)
      return pinned
    }
    closeFd(pinned)
    return createLink(program, namespace)
  } finally {
    closeSync(namespace)
  }
}

function pinAll(pins: string, fds: Readonly<Record<MapName | 'link', number>>): void {
  for (const name of [...MAP_NAMES, 'link'] as const) {
    const path = join(pins, name)
    rmSync(`${path}-new`, { force: true })
    pin(fds[name], `${path}-new`)
    renameSync(`${path}-new`, path)
  }
}

function readMeta(maps: MapFds): Buffer {
  return mapLookup(maps.meta, Buffer.alloc(MAPS.meta.keyBytes), META.bytes) ?? Buffer.alloc(META.bytes)
}

function writeMeta(maps: MapFds, program: number): void {
  const meta = Buffer.alloc(META.bytes)
  meta.writeUInt32LE(LAYOUT_VERSION, META.layoutVersion)
  meta.writeUInt32LE(programId(program), META.programId)
  programHash().copy(meta, META.programHash)
  mapUpdate(maps.meta, Buffer.alloc(MAPS.meta.keyBytes), meta)
}

function closeAll(fds: readonly number[]): void {
  for (const fd of fds) closeFd(fd)
}
