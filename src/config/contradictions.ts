import { SLOTS } from '../core/app.ts'
import type { Definition } from '../core/definition.ts'
import { formatDuration } from '../core/durations.ts'
import { isWithin } from '../core/ports.ts'
import { defaultUploadDir, defaultWorkingDir, type Paths } from '../platform/paths.ts'
import type { AppFile } from './schema.ts'
import { probeTables } from './to-definition.ts'

/** Something that is wrong although each key by itself is right. */
export interface Contradiction {
  readonly path: readonly PropertyKey[]
  /** Goes on after the name of the key: `must differ from …`. */
  readonly message: string
}

export interface Converted {
  readonly name: string
  readonly file: AppFile
  readonly definition: Definition
  readonly paths: Paths
}

export function contradictions(converted: Converted): Contradiction[] {
  return [
    ...missingExecutables(converted),
    ...equalPorts(converted.definition),
    ...overlappingDirs(converted.definition),
    ...strangeDirs(converted),
    ...probeOptions(converted.file),
    ...impossibleTimes(converted.definition),
  ]
}

function missingExecutables({ definition: { slots } }: Converted): Contradiction[] {
  const missing = SLOTS.filter((slot) => slots[slot].executable === '')
  if (missing.length === SLOTS.length) return [{ path: ['executable'], message: 'is missing' }]
  return missing.map((slot) => ({ path: [slot, 'executable'], message: 'is missing' }))
}

function equalPorts({ listen, preview, slots: { blue, green } }: Definition): Contradiction[] {
  const found: Contradiction[] = []
  if (preview !== null && [listen.port, blue.port, green.port].includes(preview.port))
    found.push({ path: ['preview'], message: `must differ from the listen port and the slot ports` })
  if (blue.port === green.port)
    found.push({ path: ['green', 'port'], message: `must differ from blue.port (${blue.port})` })
  for (const [slot, { port }] of [
    ['blue', blue],
    ['green', green],
  ] as const) {
    if (port === listen.port)
      found.push({ path: [slot, 'port'], message: `must differ from the listen port (${port})` })
  }
  return found
}

function overlappingDirs({ uploadDir, slots: { blue, green } }: Definition): Contradiction[] {
  const found: Contradiction[] = []
  for (const [slot, { workingDir }] of [
    ['blue', blue],
    ['green', green],
  ] as const) {
    if (overlap(workingDir, uploadDir))
      found.push({ path: [slot, 'dir'], message: `must not overlap with upload_dir (${uploadDir})` })
  }
  if (overlap(blue.workingDir, green.workingDir))
    found.push({ path: ['green', 'dir'], message: `must not overlap with blue.dir (${blue.workingDir})` })
  return found
}

const overlap = (a: string, b: string): boolean => isWithin(a, b) || isWithin(b, a)

/** A release is put over what lies in a slot's directory, and all of an upload directory is taken for a release. */
function strangeDirs({ name, definition, paths }: Converted): Contradiction[] {
  const defaults = [
    defaultUploadDir(paths, name),
    defaultWorkingDir(paths, name, 'blue'),
    defaultWorkingDir(paths, name, 'green'),
  ]
  const chosen = [
    [['upload_dir'], definition.uploadDir],
    [['blue', 'dir'], definition.slots.blue.workingDir],
    [['green', 'dir'], definition.slots.green.workingDir],
  ] as const
  return chosen
    .filter(([, path]) => !defaults.includes(path))
    .flatMap(([key, path]) => {
      if ([paths.state, paths.appFiles, paths.run].some((own) => overlap(path, own)))
        return [{ path: key, message: 'must not overlap with directories of dorc itself' }]
      const isSystems = SHARED_DIRS.includes(path) || SYSTEM_DIRS.some((dir) => isWithin(path, dir))
      return isSystems
        ? [{ path: key, message: 'must be a directory of its own, not one of the system' }]
        : []
    })
}

/** Nothing in them belongs to an app. */
const SYSTEM_DIRS =
  '/bin /boot /dev /etc /lib /lib32 /lib64 /proc /run /sbin /sys /usr/bin /usr/lib /usr/sbin /usr/share'.split(
    ' ',
  )
/** Apps may have a directory below them, but not all of them. */
const SHARED_DIRS =
  '/ /home /media /mnt /opt /root /srv /tmp /usr /usr/local /var /var/cache /var/lib /var/log /var/tmp'.split(
    ' ',
  )

function probeOptions(file: AppFile): Contradiction[] {
  const tables = probeTables(file)
  return SLOTS.flatMap((slot) => {
    const at = file[slot].probe === undefined ? ['probe'] : [slot, 'probe']
    if (tables[slot].http !== undefined) return []
    return (['expect_status', 'host'] as const)
      .filter((key) => tables[slot][key] !== undefined)
      .map((key) => ({ path: [...at, key], message: 'needs http beside it' }))
  })
}

function impossibleTimes({ deployTimeoutMs, minHealthyMs }: Definition): Contradiction[] {
  if (deployTimeoutMs > minHealthyMs) return []
  const message = `must be longer than min_healthy (${formatDuration(minHealthyMs)}), or no release is ever ready`
  return [{ path: ['deploy_timeout'], message }]
}
