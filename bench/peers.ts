import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'

/** A path from the client to the same back end. One thread each: they share the machine's cores with client and back end. */
export interface Path {
  readonly name: 'direct' | 'steering' | 'relay' | 'nginx' | 'haproxy'
  readonly port: number
  readonly pid: number
}

export const BULK_BYTES = 100 * 1024 * 1024

export interface Ports {
  readonly backend: number
  readonly nginx: number
  readonly haproxy: number
}

/** A small and a large file to serve. */
export function writeBackendFiles(dir: string): void {
  const files = join(dir, 'files')
  mkdirSync(files, { recursive: true })
  writeFileSync(join(files, 'small'), 'x'.repeat(1024))
  writeFileSync(join(files, 'bulk'), Buffer.alloc(BULK_BYTES, 'dorc'))
}

/** The back end: nginx, as an app of dorc runs it in one of its slots. tcp_nopush: an answer is one write, as most apps make it. */
export function backendConfig(dir: string, port: number): string {
  return `daemon off; master_process off; worker_rlimit_nofile ${openFilesLimit()}; pid nginx-${port}.pid; error_log stderr;
events { worker_connections 19000; }
http {
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_header_timeout 600s;
  server { listen 127.0.0.1:${port} backlog=4096; root ${join(dir, 'files')}; location = /port { return 200 "${port}"; } }
}
`
}

export async function startNginxStream(
  dir: string,
  { nginx, backend }: Ports,
  stack: AsyncDisposableStack,
): Promise<Path> {
  const config = `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
${nginxHead(dir, 'stream')}
stream { server { listen 127.0.0.1:${nginx} backlog=4096; proxy_pass 127.0.0.1:${backend}; tcp_nodelay on; } }`
  const process = startNginx(dir, 'stream', config, stack)
  await accepts(nginx)
  return { name: 'nginx', port: nginx, pid: pidOf(process) }
}

export async function startHaproxy(
  dir: string,
  { haproxy, backend }: Ports,
  stack: AsyncDisposableStack,
): Promise<Path> {
  const file = join(dir, 'haproxy.cfg')
  writeFileSync(
    file,
    `global
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
listen bench
  bind 127.0.0.1:${haproxy} backlog 4096
  server backend 127.0.0.1:${backend}
`,
  )
  const process = own(spawn('/usr/sbin/haproxy', ['-db', '-f', file], { stdio: 'ignore' }), stack)
  await accepts(haproxy)
  return { name: 'haproxy', port: haproxy, pid: pidOf(process) }
}

/** What every program here may open at most: the hard limit, which not even root can always raise. */
function openFilesLimit(): string {
  return /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? '1024'
}

function nginxHead(dir: string, name: string): string {
  return `daemon off; master_process off; worker_rlimit_nofile ${openFilesLimit()}; pid ${dir}/${name}.pid; error_log ${dir}/${name}.log;
events { worker_connections 19000; }`
}

function startNginx(dir: string, name: string, config: string, stack: AsyncDisposableStack): ChildProcess {
  const file = join(dir, `${name}.conf`)
  writeFileSync(file, config)
  return own(
    spawn('/usr/sbin/nginx', ['-p', dir, '-c', file, '-e', `${dir}/${name}.log`], { stdio: 'ignore' }),
    stack,
  )
}

/** Ends with the bench, whatever happens to it. */
export function own(child: ChildProcess, stack: AsyncDisposableStack): ChildProcess {
  stack.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  })
  return child
}

export function pidOf({ pid }: ChildProcess): number {
  if (pid === undefined) throw new Error('The process did not start')
  return pid
}

export async function accepts(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    const isUp = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => {
        socket.destroy()
        resolve(true)
      })
      socket.once('error', () => resolve(false))
    })
    if (isUp) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`Nothing listens on port ${port}`)
}
