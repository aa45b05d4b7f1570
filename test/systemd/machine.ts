import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { hasCode } from '../../src/core/errors.ts'
import { allProcesses, processStat } from '../../src/platform/proc.ts'

/**
 * A throw-away host with a real systemd: an overlay of this host's `/` on a tmpfs, booted by systemd-nspawn with a
 * network, cgroup tree, journal and D-Bus of its own. Its mounts live in a mount namespace that only its processes
 * hold, and these in a process namespace that the kernel ends with the test: nothing is left, whatever ends the test,
 * but empty cgroups and a directory, which the next boot removes.
 */
export interface Machine extends AsyncDisposable {
  readonly name: string
  /** Process 1 of the machine, as this host numbers it; another one after a reboot. */
  readonly leaderPid: number
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>
  /** Like `run`, but throws unless the status is 0; returns stdout. */
  must(argv: readonly string[], options?: RunOptions): Promise<string>
  /** Starts a program in the machine and leaves it running; the caller owns the process. */
  spawn(argv: readonly string[], options?: Pick<RunOptions, 'environment' | 'cwd'>): ChildProcess
  writeFile(path: string, content: string | Buffer, mode?: string): Promise<void>
  /** Copies a file or tree of this host into the machine with owners and modes. */
  copyIn(hostPath: string, path: string): Promise<void>
  reboot(): Promise<void>
  /** Calls again and again until it returns true; throws after `timeoutMs` (30 s) with what was awaited. */
  until(what: string, isSo: () => Promise<boolean>, timeoutMs?: number): Promise<void>
}

export interface MachineOptions {
  readonly name: string
  /** The project is not at /opt/dorc: what runs there came in otherwise. */
  readonly isWithoutProject?: boolean
  /** Besides the project, which is at /opt/dorc, read-only. */
  readonly binds?: readonly { readonly host: string; readonly guest: string; readonly isWritable?: boolean }[]
}

export interface RunOptions {
  readonly stdin?: string | Buffer
  readonly timeoutMs?: number
  readonly environment?: Readonly<Record<string, string>>
  readonly cwd?: string
}

export interface RunResult {
  /** null: killed by a signal, or at the timeout. */
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

const PROJECT = new URL('../..', import.meta.url).pathname.replace(/\/$/, '')
const BOOT_TIMEOUT_MS = 120_000
/** What this host's image would start by itself, and what has nothing to do in a test. */
const MASKED = [
  'apt-daily.timer',
  'apt-daily-upgrade.timer',
  'dpkg-db-backup.timer',
  'e2scrub_all.timer',
  'e2scrub_reap.service',
  'fstrim.timer',
  'haproxy.service',
  'man-db.timer',
  'nginx.service',
  'postgresql.service',
  'redis-server.service',
  'systemd-networkd.service',
  'systemd-resolved.service',
  'systemd-timesyncd.service',
]

/**
 * Runs with the machine's name and masked units in the environment, and nspawn's argv as arguments. The tmpfs on
 * /run/systemd/nspawn keeps nspawn's own traces off this host. With --keep-unit a reboot ends nspawn with 133.
 */
const BOOT_SCRIPT = `
set -eu
mount -t tmpfs -o size=4g,mode=755 tmpfs $DIRECTORY
mkdir $DIRECTORY/upper $DIRECTORY/work $DIRECTORY/root
mount -t overlay -o lowerdir=/,upperdir=$DIRECTORY/upper,workdir=$DIRECTORY/work overlay $DIRECTORY/root
rm -rf $DIRECTORY/root/etc/systemd/system/dorc* $DIRECTORY/root/etc/dorc $DIRECTORY/root/var/lib/dorc
for unit in $MASKED; do ln -sfn /dev/null "$DIRECTORY/root/etc/systemd/system/$unit"; done
mkdir -p $DIRECTORY/root/var/log/journal $DIRECTORY/root/opt/dorc /run/systemd/nspawn
: > $DIRECTORY/root/etc/machine-id
mount -t tmpfs tmpfs /run/systemd/nspawn
for tree in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
  [ -e "$tree/cgroup.procs" ] || continue
  mkdir -p "$tree/dorc-test-$MACHINE"
  echo $$ > "$tree/dorc-test-$MACHINE/cgroup.procs"
done
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
status=133
while [ "$status" = 133 ]; do
  status=0
  systemd-nspawn "$@" || status=$?
done
exit "$status"
`

export async function bootMachine(options: MachineOptions): Promise<Machine> {
  removeStale()
  const name = `${options.name}-${process.pid}`
  const directory = await mkdtemp(join(tmpdir(), `dorc-machine-${process.pid}-`))
  const consolePath = join(directory, 'console')
  const nspawn = spawn(
    'setpriv',
    [
      ...'--pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child --mount-proc sh -c'.split(
        ' ',
      ),
      BOOT_SCRIPT,
      'boot',
      ...nspawnArgv(name, join(directory, 'root'), options),
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, DIRECTORY: directory, MACHINE: name, MASKED: MASKED.join(' ') },
    },
  )
  const console = createWriteStream(consolePath)
  nspawn.stdout.pipe(console, { end: false })
  nspawn.stderr.pipe(console, { end: false })
  const machine = new NspawnMachine({ name, nspawn, directory, consolePath })
  try {
    await machine.waitForBoot(null)
  } catch (error) {
    await machine[Symbol.asyncDispose]()
    throw error
  }
  return machine
}

function nspawnArgv(name: string, root: string, { binds = [], isWithoutProject }: MachineOptions): string[] {
  return [
    ...'--quiet --boot --register=no --keep-unit --private-network --capability=all'.split(' '),
    `--directory=${root}`,
    '--system-call-filter=bpf openat2 pidfd_open pidfd_getfd perf_event_open',
    `--machine=${name}`,
    ...(isWithoutProject ? [] : [`--bind-ro=${PROJECT}:/opt/dorc`]),
    ...binds.map(
      ({ host, guest, isWritable }) => `--bind${isWritable === true ? '' : '-ro'}=${host}:${guest}`,
    ),
  ]
}

class NspawnMachine implements Machine {
  readonly name: string
  readonly #nspawn: ChildProcess
  readonly #directory: string
  readonly #consolePath: string
  readonly #exited: Promise<void>
  readonly #entered = new Set<ChildProcess>()
  #leaderPid = 0

  constructor(parts: { name: string; nspawn: ChildProcess; directory: string; consolePath: string }) {
    this.name = parts.name
    this.#nspawn = parts.nspawn
    this.#directory = parts.directory
    this.#consolePath = parts.consolePath
    this.#exited = new Promise((resolve) => parts.nspawn.once('close', () => resolve()))
  }

  get leaderPid(): number {
    return this.#leaderPid
  }

  spawn(
    argv: readonly string[],
    { environment = {}, cwd = '/root' }: Pick<RunOptions, 'environment' | 'cwd'> = {},
  ): ChildProcess {
    const child = spawn(
      'nsenter',
      ['-t', String(this.#leaderPid), ...'-m -u -i -n -p -C'.split(' '), `--wdns=${cwd}`, '--', ...argv],
      {
        stdio: 'pipe',
        detached: true,
        env: {
          PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
          HOME: '/root',
          LANG: 'C.UTF-8',
          ...environment,
        },
      },
    )
    this.#entered.add(child)
    child.once('close', () => this.#entered.delete(child))
    return child
  }

  run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const child = this.spawn(argv, options)
    const output = { stdout: '', stderr: '' }
    for (const key of ['stdout', 'stderr'] as const)
      child[key]?.setEncoding('utf8').on('data', (text: string) => (output[key] += text))
    // A program that does not read its input may be gone before all of it is written.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(options.stdin ?? '')
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => killGroup(child), options.timeoutMs ?? 120_000)
      child.once('error', reject)
      child.once('close', (status) => {
        clearTimeout(timer)
        resolve({ status, ...output })
      })
    })
  }

  async must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.run(argv, options)
    if (status !== 0)
      throw new Error(
        `In the machine, ${argv.join(' ')} ended with ${status}\n${stdout.slice(-4000)}\n${stderr.slice(-4000)}`,
      )
    return stdout
  }

  async writeFile(path: string, content: string | Buffer, mode = '0644'): Promise<void> {
    await this.must(
      ['sh', '-c', 'mkdir -p "$(dirname "$1")" && cat > "$1" && chmod "$2" "$1"', 'sh', path, mode],
      {
        stdin: content,
      },
    )
  }

  async copyIn(hostPath: string, path: string): Promise<void> {
    const archive = spawn('tar', ['-C', hostPath, '-cf', '-', '.'], { stdio: ['ignore', 'pipe', 'inherit'] })
    const extract = this.spawn(['sh', '-c', 'mkdir -p "$1" && tar -C "$1" -xpf -', 'sh', path])
    if (extract.stdin === null) throw new Error('No stdin')
    archive.stdout.pipe(extract.stdin)
    const status = await new Promise((resolve) => extract.once('close', resolve))
    if (status !== 0) throw new Error(`Cannot copy ${hostPath} to ${path} in the machine`)
  }

  async reboot(): Promise<void> {
    const before = this.#leaderPid
    // The command is cut off by its own success.
    await Promise.all([this.run(['systemctl', 'reboot']), this.waitForBoot(before)])
  }

  async until(what: string, isSo: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (!(await isSo())) {
      if (performance.now() > deadline) throw new Error(`Gave up waiting until ${what}`)
      await pause(50)
    }
  }

  /** `before`: the leader of the boot that is to end. */
  async waitForBoot(before: number | null): Promise<void> {
    try {
      await this.until('the machine is up', () => this.#isUp(before), BOOT_TIMEOUT_MS)
    } catch (error) {
      throw new Error(`The machine did not boot:\n${await readFile(this.#consolePath, 'utf8')}`, {
        cause: error,
      })
    }
  }

  async #isUp(before: number | null): Promise<boolean> {
    if (this.#nspawn.exitCode !== null) throw new Error(`nspawn ended with ${this.#nspawn.exitCode}`)
    // unshare → the boot script → nspawn → process 1 of the machine
    const [, , leader = null] = lineage(this.#nspawn.pid ?? 0)
    if (leader === null || leader === before) {
      this.#signalEntered('SIGCONT')
      return false
    }
    this.#leaderPid = leader
    const { stdout } = await this.run(['systemctl', 'is-system-running'], { timeoutMs: 5_000 })
    return ['running', 'degraded'].includes(stdout.trim())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Its death reaches the process namespace's first process (unshare --kill-child), and with that all of them.
    this.#nspawn.kill('SIGKILL')
    this.#signalEntered('SIGKILL')
    await this.#exited
    await rm(this.#directory, { recursive: true, force: true })
    await this.#removeCgroups()
  }

  /**
   * A shutdown stops all processes of the machine for a moment, and nsenter stops itself with its child. Whoever is
   * stopped does not wait for his child, and without that the kernel never ends the machine's process namespace.
   */
  #signalEntered(signal: 'SIGCONT' | 'SIGKILL'): void {
    for (const child of this.#entered) child.kill(signal)
  }

  async #removeCgroups(): Promise<void> {
    await this.until(
      'the cgroups of the machine are gone',
      async () => {
        for (const tree of cgroupTrees()) removeCgroup(join(tree, cgroupName(this.name)))
        return !cgroupTrees().some((tree) => existsSync(join(tree, cgroupName(this.name))))
      },
      10_000,
    )
  }
}

const cgroupName = (machine: string): string => `dorc-test-${machine}`

/** The roots of the trees of both layouts, v2 alone and v1 with v2 beside it. */
function cgroupTrees(): string[] {
  return ['/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd'].filter((tree) =>
    existsSync(join(tree, 'cgroup.procs')),
  )
}

/** What runs that were killed left behind: their processes are gone, empty cgroups and a directory stay. */
function removeStale(): void {
  const isStale = (pid: string | undefined): boolean => pid !== undefined && processStat(Number(pid)) === null
  for (const tree of cgroupTrees())
    for (const entry of readdirSync(tree))
      if (isStale(/^dorc-test-.*-(\d+)$/.exec(entry)?.[1])) removeCgroup(join(tree, entry))
  for (const entry of readdirSync(tmpdir()))
    if (isStale(/^dorc-machine-(\d+)-/.exec(entry)?.[1])) rmSync(join(tmpdir(), entry), { recursive: true })
}

/** Removes as much as is empty. */
function removeCgroup(path: string): void {
  if (!existsSync(path)) return
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) removeCgroup(join(path, entry.name))
  try {
    rmdirSync(path)
  } catch (error) {
    if (!hasCode(error, 'EBUSY') && !hasCode(error, 'ENOENT')) throw error
  }
}

/** A process's first child, that one's first child, and so on. */
function lineage(pid: number): number[] {
  const child = allProcesses().find(({ parent }) => parent === pid)?.pid
  return child === undefined ? [] : [child, ...lineage(child)]
}

function killGroup(child: ChildProcess): void {
  if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
}
