import { strictSandbox } from '../core/unit-sandbox.ts'
import { execCommand, unitText } from '../core/unit-syntax.ts'
import { runtimeOptions } from '../platform/programs.ts'
import type { InstalledBuild } from './installed-build.ts'

export const DAEMON_UNIT = 'dorcd.service'
export const BPF_MOUNT = 'run-dorc-bpf.mount'
export const RELAY_TEMPLATE = 'dorc-relay@.service'
export const PLACEHOLDER_TEMPLATE = 'dorc-listen@.service'

/** dorc's own units, by file name. */
export function ownUnits(build: InstalledBuild): Readonly<Record<string, string>> {
  return {
    [DAEMON_UNIT]: daemonUnit(build),
    [BPF_MOUNT]: bpfMount(),
    [RELAY_TEMPLATE]: relayUnit(build),
    [PLACEHOLDER_TEMPLATE]: placeholderUnit(),
  }
}

/**
 * The daemon is root without most of its power. It writes units and its own state, reads uploads and fills working
 * directories wherever their owners put them (so /home and /tmp are the real ones), runs the copier as the uploader,
 * asks /proc who holds a port, takes listening sockets out of process 1 and of apps (SYS_PTRACE), and steers (BPF,
 * NET_ADMIN). RestrictSUIDSGID= is not for it: that
 * blocks openat2(2), whose mode it cannot see (seccomp_restrict_suid_sgid, src/shared/seccomp-util.c), and the copier
 * lives by openat2.
 */
function daemonUnit(build: InstalledBuild): string {
  const capabilities =
    'BPF CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL NET_ADMIN NET_BIND_SERVICE SETGID SETUID SYS_PTRACE'
  return unitText([
    {
      name: 'Unit',
      assignments: [
        ['Description', 'dorc, blue/green deployment: the daemon'],
        ['After', `dbus.service network.target ${BPF_MOUNT}`],
        // Without it the relay carries everything.
        ['Wants', BPF_MOUNT],
        ['StartLimitIntervalSec', '0'],
      ],
    },
    {
      name: 'Service',
      assignments: [
        ['Type', 'notify'],
        ['ExecStart', execCommand([build.nodePath, ...runtimeOptions.dorcd, build.programPath('dorcd')])],
        ['Restart', 'always'],
        ['RestartSec', '300ms'],
        // Its children are copies and log readers of its own; slots and relays are other units.
        ['KillMode', 'mixed'],
        ['TimeoutStartSec', '60s'],
        ['TimeoutStopSec', '30s'],
        ['RuntimeDirectory', 'dorc'],
        // The routes that relays read, while the daemon is away.
        ['RuntimeDirectoryPreserve', 'yes'],
        ['StateDirectory', 'dorc'],
        ['StateDirectoryMode', '0700'],
        ['ConfigurationDirectory', 'dorc'],
        ['ReadWritePaths', '/etc/systemd/system'],
        ['LimitNOFILE', '65536'],
        // Kernels before 5.11 count bpf maps as locked memory.
        ['LimitMEMLOCK', 'infinity'],
        ['CapabilityBoundingSet', capabilities.replaceAll(/\w+/g, 'CAP_$&')],
        ['NoNewPrivileges', 'yes'],
        ['ProtectSystem', 'full'],
        ['PrivateDevices', 'yes'],
        ['PrivateMounts', 'yes'],
        ['ProtectKernelModules', 'yes'],
        ['ProtectKernelLogs', 'yes'],
        ['ProtectKernelTunables', 'yes'],
        ['ProtectControlGroups', 'yes'],
        ['ProtectClock', 'yes'],
        ['ProtectHostname', 'yes'],
        ['RestrictNamespaces', 'yes'],
        ['RestrictRealtime', 'yes'],
        // Netlink tells who listens where.
        ['RestrictAddressFamilies', 'AF_INET AF_INET6 AF_UNIX AF_NETLINK'],
        ['LockPersonality', 'yes'],
        ['SystemCallArchitectures', 'native'],
        ['SystemCallFilter', '@system-service pidfd_open pidfd_getfd openat2 bpf'],
        ['SystemCallFilter', '~@resources'],
        ['SystemCallErrorNumber', 'EPERM'],
      ],
    },
    { name: 'Install', assignments: [['WantedBy', 'multi-user.target']] },
  ])
}

/** What the daemon pins here steers on while it is away: its own mount namespace would end with it. */
function bpfMount(): string {
  return unitText([
    {
      name: 'Unit',
      assignments: [['Description', 'dorc, blue/green deployment: what steers in the kernel']],
    },
    {
      name: 'Mount',
      assignments: [
        ['What', 'bpf'],
        ['Where', '/run/dorc/bpf'],
        ['Type', 'bpf'],
        ['Options', 'mode=0700,nosuid,nodev,noexec'],
      ],
    },
  ])
}

/**
 * One relay generation. SIGTERM tells it to accept no more and to end with its last connection, so stopping it takes
 * as long as that; a second SIGTERM ends it at once, which is what a shutdown of the host wants.
 */
function relayUnit(build: InstalledBuild): string {
  const options =
    '--generation %i --control /run/dorc-relay/%i/control.sock --routes /run/dorc/relay/routes.json'
  const command = `${execCommand([build.nodePath, build.programPath('dorc-relay')])} ${options} --build ${build.id}`
  return unitText([
    {
      name: 'Unit',
      assignments: [
        ['Description', 'dorc, blue/green deployment: relay generation %i'],
        ['After', 'network.target'],
        ['StartLimitIntervalSec', '0'],
      ],
    },
    {
      name: 'Service',
      assignments: [
        ['Type', 'exec'],
        ['ExecStart', command],
        // `+`: as root, who can ask process 1 without the bus, which a shutdown may have stopped already.
        ['ExecStop', `+${SECOND_SIGNAL_AT_SHUTDOWN}`],
        // It exits with 0 once it was told to retire, and then it has a successor.
        ['Restart', 'on-failure'],
        ['RestartSec', '100ms'],
        // All who hold a public socket share its flags, and systemd sets them anew for each program that it starts: without
        // this the relay that runs would block in accept(2) as soon as a second one is started.
        ['NonBlocking', 'yes'],
        ['KillMode', 'mixed'],
        ['TimeoutStopSec', 'infinity'],
        ['RuntimeDirectory', 'dorc-relay/%i'],
        ['RuntimeDirectoryMode', '0700'],
        ['LimitNOFILE', '1048576'],
        ['DynamicUser', 'yes'],
        // No app can have this name: theirs go on after `dorc` with - or _.
        ['User', 'dorcrelay'],
        ['ProtectHome', 'yes'],
        ['PrivateDevices', 'yes'],
        ...strictSandbox(''),
      ],
    },
    { name: 'Install', assignments: [['WantedBy', 'multi-user.target']] },
  ])
}

/** SIGINT, for two SIGTERMs in a row are one if the relay has not taken the first yet (signal(7), standard signals). */
const SECOND_SIGNAL_AT_SHUTDOWN = execCommand([
  '/bin/sh',
  '-c',
  'if [ "$(timeout 5 systemctl is-system-running)" = stopping ]; then kill -INT $MAINPID; fi',
])

/** Started by a public socket when a connection comes and no relay takes it; being active, it quiets the socket. */
function placeholderUnit(): string {
  return unitText([
    {
      name: 'Unit',
      assignments: [
        ['Description', 'dorc, blue/green deployment: connections for %i wait for a relay'],
        ['StartLimitIntervalSec', '0'],
      ],
    },
    {
      name: 'Service',
      assignments: [
        ['Type', 'oneshot'],
        ['RemainAfterExit', 'yes'],
        ['ExecStart', '/bin/true'],
        // It is handed the socket, too: see dorc-relay@.service.
        ['NonBlocking', 'yes'],
        ['DynamicUser', 'yes'],
        ['ProtectHome', 'yes'],
        ['PrivateDevices', 'yes'],
        ...strictSandbox(''),
      ],
    },
  ])
}
