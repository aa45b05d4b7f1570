import { constants } from 'node:os'
import type { UnitProperties } from './unit-properties.ts'

/** Kinds of death (<bits/siginfo-consts.h>, CLD_…). */
const EXITED = 1
const KILLED = 2
const DUMPED = 3

/** What systemd says by exiting in the program's place before it could run (systemd.exec(5), "Process exit codes"). */
const SYSTEMD_STATUS: Readonly<Record<number, string>> = {
  200: 'systemd cannot change to the working directory',
  203: 'systemd cannot execute the program',
  217: 'systemd cannot find or make the user',
  226: 'systemd cannot set up the mounts of the sandbox',
  228: 'systemd cannot apply the system call filter',
  238: 'systemd cannot set up the state directory',
}

const RESULTS: Readonly<Record<string, string>> = {
  'oom-kill': 'the kernel was out of memory',
  watchdog: 'it missed its watchdog',
  timeout: 'it took too long',
  resources: 'systemd could not set it up',
}

/** How the main process ended last: `exit status 1`, `signal KILL (the kernel was out of memory)`; null if it has not. */
export function exitText(properties: UnitProperties): string | null {
  const code = properties.number('ExecMainCode')
  const status = properties.number('ExecMainStatus')
  const reason = RESULTS[properties.text('Result')] ?? (code === EXITED ? SYSTEMD_STATUS[status] : undefined)
  const suffix = reason === undefined ? '' : ` (${reason})`
  switch (code) {
    case EXITED:
      return `exit status ${status}${suffix}`
    case KILLED:
    case DUMPED:
      return `signal ${signalName(status)}${code === DUMPED ? ', core dumped' : ''}${suffix}`
    default:
      return reason ?? null
  }
}

function signalName(signal: number): string {
  const name = Object.entries(constants.signals).find(([, value]) => value === signal)?.[0]
  return name?.replace(/^SIG/, '') ?? String(signal)
}
