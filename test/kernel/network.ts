import assert from 'node:assert/strict'
import { type ChildProcessByStdio, execFile, execFileSync, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { arch, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { promisify } from 'node:util'
import { mapLookup, mapUpdate } from '../../src/dataplane/steering/bpf.ts'
import { closeKernel, openKernel } from '../../src/dataplane/steering/kernel.ts'
import { ATTACH_SK_LOOKUP, META } from '../../src/dataplane/steering/layout.ts'
import { check, libc } from '../../src/platform/libc.ts'

const unshare = libc.func('int unshare(int flags)')
const mount = libc.func(
  'int mount(const char *source, const char *target, const char *type, ulong flags, void *data)',
)

const syscall = libc.func('long syscall(long number, int command, void *attributes, unsigned int size)')

const BPF_PROG_QUERY = 16
const CLONE_NEWNS = 0x00020000
const CLONE_NEWNET = 0x40000000
const MS_REC_PRIVATE = 0x4000 | 0x40000

/**
 * Moves this process's main thread, where all its sockets are made, and every child from now on into a network and a mount
 * namespace of its own: programs and mounts of a test touch nobody else's, and end with it.
 */
export function enterOwnNetwork(): void {
  check('unshare', unshare(CLONE_NEWNET | CLONE_NEWNS) as number)
  check('mount', mount('none', '/', '', MS_REC_PRIVATE, null) as number)
  run('ip link set lo up')
}

/** How many sk_lookup programs this network namespace has, whoever's they are. */
export function attachedPrograms(): number {
  const namespace = openSync('/proc/self/ns/net', 'r')
  // BPF_PROG_QUERY of <linux/bpf.h>: target_fd, attach_type; prog_cnt is at 24.
  const attributes = Buffer.alloc(64)
  attributes.writeUInt32LE(namespace, 0)
  attributes.writeUInt32LE(ATTACH_SK_LOOKUP, 4)
  const number = arch() === 'arm64' ? 280 : 321
  check('bpf query', syscall(number, BPF_PROG_QUERY, attributes, attributes.length) as number)
  closeSync(namespace)
  return attributes.readUInt32LE(24)
}

/** Makes what is pinned look as if another version of dorc had loaded its program. */
export function makeOld(pins: string): void {
  const kernel = openKernel(pins)
  const meta = mapLookup(kernel.maps.meta, Buffer.alloc(4), META.bytes)
  assert.ok(meta)
  meta.fill(7, META.programHash)
  mapUpdate(kernel.maps.meta, Buffer.alloc(4), meta)
  closeKernel(kernel)
}

/** A bpf file system that only this process and its children see. */
export function mountBpf(path: string): void {
  check('mount bpf', mount('bpf', path, 'bpf', 0, null) as number)
}

/** Another host, over a cable: 10.77.0.2 and fd77::2; this one is 10.77.0.1 and fd77::1. */
export interface OtherHost {
  /** Runs a program there; returns what it prints. */
  run(argv: readonly string[]): Promise<string>
  /** Starts a program there, which is killed with the test. */
  spawn(argv: readonly string[]): ChildProcessByStdio<Writable, Readable, null>
}

export function connectOtherHost(t: { after(end: () => void): void }): OtherHost {
  // A process that holds the namespace open: no name of it is left on this machine.
  const pidFile = join(tmpdir(), `dorc-host-${process.pid}`)
  run(
    `unshare --net sh -c 'echo $$ > ${pidFile}; exec sleep 1000' >/dev/null 2>&1 & while ! [ -s ${pidFile} ]; do sleep 0.01; done`,
  )
  const pid = readFileSync(pidFile, 'utf8').trim()
  rmSync(pidFile)
  t.after(() => {
    run(`kill ${pid}; ip link del here 2>/dev/null || true`)
  })
  run(`
    ip link add here type veth peer name there netns ${pid}
    ip addr add 10.77.0.1/24 dev here; ip -6 addr add fd77::1/64 dev here nodad; ip link set here up
    nsenter -t ${pid} -n sh -c 'ip link set lo up; ip addr add 10.77.0.2/24 dev there; ip -6 addr add fd77::2/64 dev there nodad; ip link set there up'
  `)
  const inside = (argv: readonly string[]): string[] => ['-t', pid, '-n', ...argv]
  return {
    spawn(argv) {
      const child = spawn('nsenter', inside(argv), { stdio: ['pipe', 'pipe', 'inherit'], detached: true })
      t.after(() => {
        if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid ?? 0), 'SIGKILL')
      })
      return child
    },
    run: async (argv) => (await promisify(execFile)('nsenter', inside(argv))).stdout,
  }
}

export function run(script: string): string {
  return execFileSync('sh', ['-ec', script], { encoding: 'utf8' })
}

/** Writes a sysctl of this network namespace. */
export function setSysctl(name: string, value: string): void {
  writeFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, value)
}
