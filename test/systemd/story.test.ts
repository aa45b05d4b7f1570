import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { after, before, test, type TestContext } from 'node:test'
import type { AppStatus, StatusReport } from '../../src/api/protocol.ts'
import { bootMachine, type Machine } from './machine.ts'

/**
 * The story of the README on a real systemd, in order: each test goes on where the one before left the machine.
 * The apps are foreign programs: nginx, redis-server, and a Python server.
 */
const DORC = '/opt/dorc/bin/dorc'
const NODE = '/opt/dorc/node_modules/.bin/node'
const FOREIGN = '/opt/dorc/test/fixtures/foreign'

let machine: Machine

before(async () => {
  machine = await bootMachine({ name: 'story' })
})
after(async () => {
  await machine[Symbol.asyncDispose]()
})

const dorc = (...argv: string[]): Promise<string> => machine.must([DORC, ...argv])

async function status(app: string): Promise<AppStatus> {
  const report = JSON.parse(await dorc('status', app, '--json')) as StatusReport
  const [found] = report.apps
  assert.ok(found !== undefined)
  return found
}

const planeOf = async (app: string): Promise<[string, string | null]> => {
  const { dataPlane, dataPlaneReason } = await status(app)
  return [dataPlane, dataPlaneReason]
}

const isReady = async (app: string): Promise<boolean> => {
  const { slots } = await status(app)
  return slots.blue.ready && slots.green.ready
}

/** ab fails by itself on a refused or cut connection; what it counts is what was answered wrongly. */
async function abResult(child: ChildProcess): Promise<{ complete: number; failed: number }> {
  let output = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [exit] = (await once(child, 'close')) as [number | null]
  assert.equal(exit, 0, output)
  assert.doesNotMatch(output, /Non-2xx/)
  return {
    complete: Number(/Complete requests:\s+(\d+)/.exec(output)?.[1]),
    failed: Number(/Failed requests:\s+(\d+)/.exec(output)?.[1]),
  }
}

const ab = (port: number, requests: number, ...options: string[]): ChildProcess =>
  machine.spawn([
    'ab',
    '-q',
    '-l',
    '-n',
    String(requests),
    '-c',
    '20',
    ...options,
    `http://127.0.0.1:${port}/`,
  ])

interface Talk {
  readonly count: number
  readonly answers: readonly string[]
  readonly broken: string | null
}

/** A connection that is opened now and talks until it is ended. */
async function talk(port: number): Promise<{ end(): Promise<Talk> }> {
  const talker = machine.spawn([NODE, '/opt/dorc/test/systemd/guest/keep-talking.mjs', String(port)])
  let said = ''
  talker.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text))
  await machine.until('the connection is open', () => Promise.resolve(said.includes('connected')))
  return {
    async end() {
      talker.stdin?.end()
      await once(talker, 'close')
      return JSON.parse(said.split('\n')[1] ?? '') as Talk
    },
  }
}

test('dorc setup installs the daemon and the relay, enabled at boot', async () => {
  await dorc('setup')
  for (const unit of ['dorcd.service', 'dorc-relay@1.service']) {
    assert.equal((await machine.must(['systemctl', 'is-active', unit])).trim(), 'active')
    assert.equal((await machine.must(['systemctl', 'is-enabled', unit])).trim(), 'enabled')
  }
  assert.match(await dorc('status'), /No apps yet/)
  assert.match(await machine.must(['stat', '-c', '%U:%G %a', '/run/dorc/dorc.sock']), /root:dorc 660/)
})

test('three foreign programs are registered, run sandboxed as users of their own, and answer', async () => {
  for (const [app, listen, start, ...rest] of [
    ['web', '8080', '/usr/bin/python3 {executable}', '--executable', 'server.py'],
    ['site', '8081', '/usr/sbin/nginx -e stderr -p {dir} -c {dir}/{slot}.conf', '--executable', 'blue.conf'],
    [
      'cache',
      '8082',
      '/usr/bin/redis-server {executable} --port {port} --dir {dir}',
      '--executable',
      'redis.conf',
    ],
  ] as const) {
    const source = { web: 'python', site: 'nginx', cache: 'redis' }[app]
    await machine.must(['cp', '-r', `${FOREIGN}/${source}`, `/var/tmp/${app}`])
    const ports = { web: [21235, 21236], site: [21335, 21336], cache: [21435, 21436] }[app].map(String)
    const [blue = '', green = ''] = ports
    const places = [
      '--listen',
      listen,
      '--upload-dir',
      `/var/tmp/${app}`,
      '--blue-port',
      blue,
      '--green-port',
      green,
    ]
    await dorc('register', app, ...places, '--start', start, ...rest, '--yes')
  }
  for (const app of ['web', 'site', 'cache']) await machine.until(`${app} is ready`, () => isReady(app))
  assert.match(await machine.must(['curl', '-s', 'http://127.0.0.1:8080/']), /release 1 in blue/)
  assert.match(await machine.must(['curl', '-s', 'http://127.0.0.1:8081/']), /nginx in blue/)
  assert.match(await machine.must(['redis-cli', '-p', '8082', 'ping']), /PONG/)
  const { pid } = (await status('web')).slots.blue
  assert.match(await machine.must(['ps', '-o', 'user=', '-p', String(pid)]), /^dorc-web/)
})

test('an upload by rsync appears in the inactive slot by itself, is switched to, and taken back', async () => {
  await machine.must([
    'sh',
    '-c',
    'mkdir /root/next && cp /var/tmp/web/server.py /root/next && echo 2 > /root/next/notes',
  ])
  await machine.must(['rsync', '-a', '--delete', '/root/next/', '/var/tmp/web/'])
  await machine.until('release 2 is ready', async () => {
    const { deploy } = await status('web')
    return deploy?.release === 2 && deploy.state === 'ready'
  })
  assert.match(await machine.must(['curl', '-s', 'http://127.0.0.1:8080/']), /release 1 in blue/)
  await dorc('switch', 'web')
  assert.match(await machine.must(['curl', '-s', 'http://127.0.0.1:8080/']), /release 2 in green/)
  await dorc('rollback', 'web')
  assert.match(await machine.must(['curl', '-s', 'http://127.0.0.1:8080/']), /release 1 in blue/)
})

/** 100 switches while ab makes new and kept connections, with a killed daemon in the middle, and one old connection. */
async function switchUnderLoad(t: TestContext): Promise<void> {
  const { active } = await status('site')
  const talker = await talk(8081)
  const results: { complete: number; failed: number }[] = []
  const over = new AbortController()
  const load = (async () => {
    while (!over.signal.aborted) {
      results.push(await abResult(ab(8081, 4_000)))
      results.push(await abResult(ab(8081, 4_000, '-k')))
    }
  })()
  for (let count = 0; count < 100; count += 1) {
    await dorc('switch', 'site')
    if (count === 50) await machine.must(['systemctl', 'kill', '-s', 'KILL', 'dorcd.service'])
    if (count === 50)
      await machine.until(
        'the daemon is back',
        async () => (await machine.run([DORC, 'status'])).status === 0,
      )
    if (count === 51) await machine.until('both slots are ready', () => isReady('site'))
  }
  over.abort()
  await load
  const { count, answers, broken } = await talker.end()
  const complete = results.reduce((sum, result) => sum + result.complete, 0)
  const failed = results.reduce((sum, result) => sum + result.failed, 0)
  t.diagnostic(
    `${complete} requests over 100 switches, ${failed} failed; the old connection was answered ${count} times`,
  )
  assert.equal(failed, 0)
  assert.ok(complete >= 8_000)
  assert.deepEqual([answers, broken], [[`nginx in ${active}`], null])
  assert.ok(count > 100)
}

test('the kernel steers: under load no switch fails a request or cuts an old connection', async (t) => {
  assert.deepEqual(await planeOf('site'), ['steering', null])
  await switchUnderLoad(t)
  assert.deepEqual(await planeOf('site'), ['steering', null])
})

test('a daemon that is stopped, or killed 20 times, is noticed by no client', async () => {
  const load = abResult(ab(8081, 30_000))
  await machine.must(['systemctl', 'stop', 'dorcd.service'])
  assert.match(await machine.must(['curl', '-s', 'http://127.0.0.1:8081/']), /nginx in/)
  await machine.must(['systemctl', 'start', 'dorcd.service'])
  for (let count = 0; count < 20; count += 1)
    await machine.run(['systemctl', 'kill', '-s', 'KILL', 'dorcd.service'])
  assert.equal((await load).failed, 0)
  await machine.until('the daemon is back', async () => (await machine.run([DORC, 'status'])).status === 0)
})

test('pins that somebody deletes are put back, no client notices, and the journal tells', async () => {
  const load = abResult(ab(8081, 20_000))
  await machine.must(['sh', '-c', 'cd /run/dorc/bpf && rm link addresses sockets guards births meta'])
  await machine.until(
    'the pins are back',
    async () => (await machine.run(['test', '-e', '/run/dorc/bpf/link'])).status === 0,
  )
  assert.equal((await load).failed, 0)
  await machine.until('it is told', async () =>
    (await machine.must(['journalctl', '-u', 'dorcd', '-o', 'cat'])).includes('steering is back'),
  )
  assert.match(await dorc('events', '-n', '100'), /The kernel steers again; before: the pin "link" is gone/)
  assert.deepEqual(await planeOf('site'), ['steering', null])
})

test('without the right to steer the relay carries, status says why, and a switch loses nothing either', async (t) => {
  await machine.writeFile(
    '/etc/systemd/system/dorcd.service.d/no-bpf.conf',
    '[Service]\nCapabilityBoundingSet=~CAP_BPF CAP_NET_ADMIN\n',
  )
  await machine.must([
    'sh',
    '-c',
    'systemctl daemon-reload; systemctl stop dorcd; rm -f /run/dorc/bpf/*; systemctl start dorcd',
  ])
  await machine.until('the daemon is back', async () => (await machine.run([DORC, 'status'])).status === 0)
  await machine.until('both slots are ready', () => isReady('site'))
  const [plane, reason] = await planeOf('site')
  assert.equal(plane, 'relay')
  assert.match(reason ?? '', /^the kernel forbids steering: .*EPERM/)
  await switchUnderLoad(t)
})

test('nginx in front, one listen port an app: switches through it fail nothing', async () => {
  await machine.writeFile(
    '/root/edge.conf',
    `events {} pid /run/edge.pid; error_log /var/log/edge.log;
http { access_log off;
  server { listen 127.0.0.1:9080; location / { proxy_pass http://127.0.0.1:8080; } }
  server { listen 127.0.0.1:9081; location / { proxy_pass http://127.0.0.1:8081; } } }\n`,
  )
  await machine.must(['nginx', '-c', '/root/edge.conf'])
  const loads = [abResult(ab(9080, 6_000)), abResult(ab(9081, 6_000))]
  for (let count = 0; count < 10; count += 1) {
    await dorc('switch', 'site')
    await dorc('switch', 'web')
  }
  for (const { failed } of await Promise.all(loads)) assert.equal(failed, 0)
})

test('the relay and the daemon are restarted under load, and nothing is refused or cut', async () => {
  const talker = await talk(8081)
  const load = abResult(ab(8081, 20_000))
  await machine.must(['systemctl', 'restart', 'dorcd.service'])
  // The old generation lives on for the talker; the restart that was asked for waits until it has ended.
  await machine.must(['systemctl', '--no-block', 'restart', 'dorc-relay@1.service'])
  const isActive = async (unit: string): Promise<boolean> =>
    (await machine.run(['systemctl', 'is-active', unit])).status === 0
  await machine.until('generation 2 serves', () => isActive('dorc-relay@2.service'))
  assert.equal((await load).failed, 0)
  const after = abResult(ab(8081, 10_000))
  assert.equal((await talker.end()).broken, null)
  assert.equal((await after).failed, 0)
  await machine.until('only generation 2 is left', async () => !(await isActive('dorc-relay@1.service')))
  assert.match(await machine.must(['curl', '-s', 'http://127.0.0.1:8081/']), /nginx in/)
})

test('with its rights back the daemon steers again', async () => {
  await machine.must([
    'sh',
    '-c',
    'rm -r /etc/systemd/system/dorcd.service.d; systemctl daemon-reload; systemctl restart dorcd',
  ])
  await machine.until('the daemon is back', async () => (await machine.run([DORC, 'status'])).status === 0)
  await machine.until('it steers', async () => (await planeOf('site'))[0] === 'steering')
})

test('a process that is killed comes back, and connections are held meanwhile', async () => {
  const { active, slots } = await status('web')
  await machine.must(['kill', '-9', String(slots[active].pid)])
  assert.match(await machine.must(['curl', '-s', '--max-time', '20', 'http://127.0.0.1:8080/']), /release/)
  await machine.until('the restart is told', async () => (await status('web')).slots[active].restarts === 1)
})

test('after a reboot the right slot is in front with the right release', async () => {
  await dorc('switch', 'site', '--to', 'green').catch(() => null)
  const was = { web: await status('web'), site: await status('site') }
  assert.equal(was.site.active, 'green')
  await machine.reboot()
  await machine.until('the daemon answers', async () => (await machine.run([DORC, 'status'])).status === 0)
  for (const app of ['web', 'site', 'cache']) await machine.until(`${app} is ready`, () => isReady(app))
  for (const app of ['web', 'site'] as const) {
    const is = await status(app)
    assert.equal(is.active, was[app].active)
    assert.equal(is.slots[is.active].release, was[app].slots[was[app].active].release)
  }
  assert.match(await machine.must(['curl', '-s', 'http://127.0.0.1:8081/']), /nginx in green/)
  const load = abResult(ab(8081, 10_000))
  for (let count = 0; count < 10; count += 1) await dorc('switch', 'site')
  assert.equal((await load).failed, 0)
})

test('dorc deploy --switch, a failed release, logs and events', async () => {
  await machine.must([
    'sh',
    '-c',
    'rm -rf /root/bad && mkdir /root/bad && printf "print(\'no database\', flush=True)\nraise SystemExit(3)\n" > /root/bad/server.py',
  ])
  const bad = await machine.run([DORC, 'deploy', 'web', '/root/bad', '--switch'])
  assert.equal(bad.status, 1, bad.stderr)
  assert.match(bad.stderr, /exit status 3/)
  assert.match(bad.stdout, /exit {5}exit status 3.*\n {2}ports {4}listens on none/)
  assert.equal(bad.stdout.match(/no database/g)?.length, 1, 'the last words of one start, and of no other')
  assert.match(await machine.must(['curl', '-s', 'http://127.0.0.1:8080/']), /release/)
  await machine.must(['sh', '-c', 'echo 4 > /root/next/notes'])
  const good = await machine.run([DORC, 'deploy', 'web', '/root/next', '--switch'])
  assert.equal(good.status, 0, good.stdout + good.stderr)
  assert.match(await dorc('events', 'web', '-n', '50'), /keeps ending \(exit status 3\)/)
  await machine.must([DORC, 'logs', 'site', '-n', '5'])
})

test('an operator of the group dorc may switch, another user may not even look', async () => {
  await machine.must(['useradd', '-m', '-G', 'dorc', 'ada'])
  await machine.must(['useradd', '-m', 'eve'])
  await machine.must(['runuser', '-u', 'ada', '--', DORC, 'switch', 'site'])
  const refused = await machine.run(['runuser', '-u', 'ada', '--', DORC, 'remove', 'site', '--yes'])
  assert.notEqual(refused.status, 0)
  const eve = await machine.run(['runuser', '-u', 'eve', '--', DORC, 'status'])
  assert.equal(eve.status, 5, eve.stderr)
  assert.match(await dorc('events', 'site', '-n', '5'), /\(ada\)/)
})

test('dorc remove takes an app away, and setup --remove all of dorc but data and definitions', async () => {
  await dorc('remove', 'cache', '--yes')
  assert.notEqual((await machine.run(['systemctl', 'is-active', 'blue-cache.service'])).status, 0)
  assert.notEqual((await machine.run(['redis-cli', '-p', '8082', 'ping'])).status, 0)
  await dorc('setup', '--remove', '--yes')
  assert.notEqual((await machine.run(['systemctl', 'is-active', 'dorcd.service'])).status, 0)
  await machine.must(['test', '-e', '/etc/dorc/apps/web.toml'])
})
