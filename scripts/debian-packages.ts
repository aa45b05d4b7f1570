import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** What the tests and the bench need from Debian beside Node: a program of each package shows that it is there. */
const PROGRAM_BY_PACKAGE: Readonly<Record<string, string>> = {
  systemd: '/lib/systemd/systemd',
  'systemd-container': '/usr/bin/systemd-nspawn',
  dbus: '/usr/bin/dbus-daemon',
  nginx: '/usr/sbin/nginx',
  'libnginx-mod-stream': '/usr/lib/nginx/modules/ngx_stream_module.so',
  'redis-server': '/usr/bin/redis-server',
  haproxy: '/usr/sbin/haproxy',
  'apache2-utils': '/usr/bin/ab',
  wrk: '/usr/bin/wrk',
  rsync: '/usr/bin/rsync',
  strace: '/usr/bin/strace',
  expect: '/usr/bin/expect',
  python3: '/usr/bin/python3',
  'python3-websockets': '/usr/lib/python3/dist-packages/websockets/__init__.py',
  gunicorn: '/usr/bin/gunicorn',
  postgresql: '/usr/bin/pg_ctlcluster',
  tcc: '/usr/bin/tcc',
  iproute2: '/usr/bin/ip',
}

export function missingPackages(): string[] {
  return Object.entries(PROGRAM_BY_PACKAGE)
    .filter(([, program]) => !existsSync(program))
    .map(([name]) => name)
}

/** As root, installs what is missing; returns what is missing afterwards. */
export function installPackages(): string[] {
  const missing = missingPackages()
  if (missing.length === 0 || process.getuid?.() !== 0) return missing
  console.log(`Installing Debian packages: ${missing.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const run = (...argv: [string, ...string[]]): void => {
    const { status, stderr } = spawnSync(argv[0], argv.slice(1), { env, encoding: 'utf8' })
    if (status !== 0) console.error(`${argv.join(' ')} failed: ${stderr}`)
  }
  run('apt-get', 'update', '-q')
  run('apt-get', 'install', '-y', '-q', '--no-install-recommends', ...missing)
  return missingPackages()
}
