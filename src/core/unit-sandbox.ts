import type { Assignment } from './unit-syntax.ts'

/**
 * What takes away from a service all that a network server has no use for (systemd.exec(5), "Sandboxing"), for slots
 * and for dorc's own servers. With DynamicUser=, ProtectHome= and PrivateDevices= it is exposed at 1.3 of 10
 * (systemd-analyze security). Left out: MemoryDenyWriteExecute=, which kills every JIT, and ProcSubset=pid, which
 * hides /proc/meminfo and the like from runtimes and gains nothing in that measure.
 */
export function strictSandbox(capabilities: string): Assignment[] {
  return [
    ['CapabilityBoundingSet', capabilities],
    ['AmbientCapabilities', capabilities],
    ['NoNewPrivileges', 'yes'],
    ['ProtectSystem', 'strict'],
    ['PrivateTmp', 'yes'],
    ['PrivateMounts', 'yes'],
    ['ProtectKernelTunables', 'yes'],
    ['ProtectKernelModules', 'yes'],
    ['ProtectKernelLogs', 'yes'],
    ['ProtectControlGroups', 'yes'],
    ['ProtectClock', 'yes'],
    ['ProtectHostname', 'yes'],
    ['ProtectProc', 'invisible'],
    ['RestrictNamespaces', 'yes'],
    ['RestrictRealtime', 'yes'],
    ['RestrictSUIDSGID', 'yes'],
    ['RestrictAddressFamilies', 'AF_INET AF_INET6 AF_UNIX'],
    ['LockPersonality', 'yes'],
    ['RemoveIPC', 'yes'],
    ['SystemCallArchitectures', 'native'],
    ['SystemCallFilter', '@system-service'],
    ['SystemCallFilter', '~@privileged @resources'],
    // An error, as from any kernel that says no; the default is to kill the process.
    ['SystemCallErrorNumber', 'EPERM'],
    ['UMask', '0077'],
  ]
}
