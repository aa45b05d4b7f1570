import { parseArgs } from 'node:util'
import koffi from 'koffi'
import { describeError } from '../../core/errors.ts'
import { type Logger, stdoutLogger } from '../../platform/log.ts'
import { Relay } from './relay.ts'
import { close } from './system-calls.ts'

/**
 * dorc-relay --generation N --control PATH --routes PATH --build ID
 *
 * N        rises with each generation; several may run at once, and the highest serves.
 * --control  the unix socket that it makes (0600) and answers on: control-protocol.ts.
 * --routes   the file that the daemon writes: routes-file.ts. May be missing at first.
 * --build    what this program is; another build makes the daemon start a new generation.
 *
 * Listening sockets come over the control socket, or from systemd (sd_listen_fds(3)): LISTEN_PID, LISTEN_FDS and
 * LISTEN_FDNAMES, each socket named after its app (FileDescriptorName=APP).
 *
 * SIGTERM or SIGINT: retire, that is accept no more and exit 0 when the last connection has ended. A second one
 * resets what is left and exits 0 at once; so a unit gives it no stop timeout, or the connections that the operator
 * grants. Needs no privileges, only a control folder to write to, two fds a connection (LimitNOFILE) and AF_INET,
 * AF_INET6 and AF_UNIX sockets.
 */
function main(): void {
  const { values } = parseArgs({
    options: {
      generation: { type: 'string' },
      control: { type: 'string' },
      routes: { type: 'string' },
      build: { type: 'string' },
    },
  })
  const { control: controlPath, routes: routesPath, build } = values
  const generation = Number(values.generation)
  if (controlPath === undefined || routesPath === undefined || build === undefined || !(generation > 0)) {
    process.stderr.write('dorc-relay: Needs --generation N --control PATH --routes PATH --build ID\n')
    process.exitCode = 2
    return
  }
  // Whoever reads the log may go away (EPIPE); connections must not go with it.
  process.stdout.on('error', () => null)
  const log = stdoutLogger({ program: 'dorc-relay', generation })
  const relay = new Relay({ build, generation, routesPath, controlPath, runtimeFd: runtimeFd(), log })
  takeInheritedListeners(relay, log)
  try {
    relay.applyRoutes()
  } catch (error) {
    log.warn('started without routes', { error })
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      if (relay.isRetiring) end(relay)
      else relay.leave()
    })
  log.info('serving', { build, pid: process.pid })
  // Not at once: the runtime polls for signals only after one turn of its own loop.
  setImmediate(serve, relay)
}

/**
 * The relay blocks in its own epoll_wait, in which the runtime's epoll fd is a member: signals and other work of the
 * runtime end that wait, the runtime gets one turn of its loop, and the relay goes on. A signalfd would not do, because
 * the runtime's own threads do not block signals and so take them.
 */
function serve(relay: Relay): void {
  if (relay.serve() === 'ended') end(relay)
  else setImmediate(serve, relay)
}

function end(relay: Relay): never {
  relay[Symbol.dispose]()
  // eslint-disable-next-line unicorn/no-process-exit -- the relay's loop is this program
  process.exit(0)
}

/** The epoll fd of libuv's main loop (uv_backend_fd, exported by the runtime for its addons). */
function runtimeFd(): number {
  const runtime = koffi.load(null)
  const loop: unknown = runtime.func('void *uv_default_loop()')()
  return runtime.func('int uv_backend_fd(void *loop)')(loop) as number
}

const FIRST_INHERITED_FD = 3

function takeInheritedListeners(relay: Relay, log: Logger): void {
  const { LISTEN_PID: pid, LISTEN_FDS: count, LISTEN_FDNAMES: names = '' } = process.env
  if (count === undefined || Number(pid) !== process.pid) return
  const apps = names.split(':')
  for (let index = 0; index < Number(count); index++) {
    const fd = FIRST_INHERITED_FD + index
    const app = apps[index] ?? ''
    try {
      relay.giveListener(app, fd)
    } catch (error) {
      close(fd)
      log.warn('refused an inherited socket', { app, error: describeError(error) })
    }
  }
}

main()
