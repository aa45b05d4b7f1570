import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode } from '../../core/errors.ts'

let root: string | null = null

/** Every process in a cgroup and below, by the path in systemd's property ControlGroup; empty if it is gone. */
export function processesIn(controlGroup: string): number[] {
  if (controlGroup === '') return []
  root ??= cgroupRoot(readFileSync('/proc/self/mountinfo', 'utf8'))
  return processesBelow(join(root, controlGroup)).sort((a, b) => a - b)
}

/** Where systemd's own tree is mounted: cgroup v2 in either layout, or v1's tree without controllers (cgroups(7)). */
export function cgroupRoot(mountinfo: string): string {
  const mounts = mountinfo
    .split('\n')
    .map((line) => line.split(' - '))
    .map(([left = '', right = '']) => ({
      path: left.split(' ')[4] ?? '',
      type: right.split(' ')[0] ?? '',
      options: right.split(' ')[2] ?? '',
    }))
  const unified = mounts.find(({ type }) => type === 'cgroup2')
  const named = mounts.find(
    ({ type, options }) => type === 'cgroup' && options.split(',').includes('name=systemd'),
  )
  return (unified ?? named)?.path ?? '/sys/fs/cgroup'
}

function processesBelow(path: string): number[] {
  try {
    const own = readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number)
    const children = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    return [...own, ...children.flatMap(({ name }) => processesBelow(join(path, name)))]
  } catch (error) {
    // ENODEV: it was removed between open and read.
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENODEV')) return []
    throw error
  }
}
