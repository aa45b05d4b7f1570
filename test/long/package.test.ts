import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import type { AppStatus, StatusReport } from '../../src/api/protocol.ts'
import { VERSION } from '../../src/platform/version.ts'
import { bootMachine, type Machine } from '../systemd/machine.ts'

/** The Debian package in a booted system without the project, in order: each test goes on where the one before ended. */
const NEXT = '99.0.0'
const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
const fileOf = (version: string): string => `dorc_${version}_${architecture}.deb`
const built = mkdtempSync(join(tmpdir(), 'dorc-packages-'))

let machine: Machine

before(async () => {
  for (const version of [VERSION, NEXT]) await buildPackage(built, version)
  machine = await bootMachine({
    name: 'package',
    isWithoutProject: true,
    binds: [{ host: built, guest: '/opt/packages' }],
  })
})
after(async () => {
  await machine[Symbol.asyncDispose]()
  rmSync(built, { recursive: true })
})

async function buildPackage(out: string, version: string): Promise<void> {
  const argv = ['scripts/deb.ts', '--quick', '--out', out, '--version', version]
  await promisify(execFile)(process.execPath, argv, { cwd: new URL('../..', import.meta.url).pathname })
}

const shell = (script: string): Promise<string> => machine.must(['sh', '-c', script])
const dorc = (...argv: string[]): Promise<string> => machine.must(['dorc', ...argv])
const install = (version: string): Promise<string> =>
  machine.must(['apt-get', 'install', '--yes', '--allow-downgrades', `/opt/packages/${fileOf(version)}`], {
    environment: { DEBIAN_FRONTEND: 'noninteractive' },
  })

async function status(): Promise<AppStatus> {
  const report = JSON.parse(await dorc('status', 'web', '--json')) as StatusReport
  const [found] = report.apps
  assert.ok(found !== undefined)
  return found
}

const isReady = async (): Promise<boolean> => {
  const { slots } = await status()
  return slots.blue.ready && slots.green.ready
}

const relayBuild = (): Promise<string> =>
  shell('ps -eo args | grep -o -- "[-]-build [0-9a-f]*" | sort -u | tr "\\n" " "')

test('two packages of one commit have the same bytes', { timeout: 300_000 }, async () => {
  const again = mkdtempSync(join(tmpdir(), 'dorc-package-'))
  try {
    await buildPackage(again, VERSION)
    assert.ok(readFileSync(join(again, fileOf(VERSION))).equals(readFileSync(join(built, fileOf(VERSION)))))
  } finally {
    rmSync(again, { recursive: true })
  }
})

test('apt install gives a running daemon and relay, now and at boot', async () => {
  await install(VERSION)
  assert.match(await dorc('status'), /No apps yet/)
  for (const unit of ['dorcd.service', 'dorc-relay@1.service']) {
    assert.equal((await machine.must(['systemctl', 'is-active', unit])).trim(), 'active')
    assert.equal((await machine.must(['systemctl', 'is-enabled', unit])).trim(), 'enabled')
  }
  assert.equal(
    await shell('stat -c "%U:%G %a" /run/dorc/dorc.sock /var/lib/dorc /etc/dorc/apps'),
    'root:dorc 660\nroot:root 700\nroot:root 755\n',
  )
  assert.equal(
    (await shell('readlink /proc/$(systemctl show -P MainPID dorcd)/exe')).trim(),
    '/usr/lib/dorc/node',
  )
  assert.equal(await shell('find /etc/systemd /usr/local -name "*dorc*" -type f'), '')
})

test('dorc setup says that the package has done it, and removal is left to apt', async () => {
  assert.match(await dorc('setup'), /package of dorc has set it up already/)
  const refused = await machine.run(['dorc', 'setup', '--remove', '--yes'])
  assert.equal(refused.status, 1)
  assert.match(refused.stderr, /sudo apt remove dorc/)
})

test('an app is registered, deployed and switched', async () => {
  const source = new URL('../fixtures/foreign/nginx', import.meta.url).pathname
  for (const place of ['/var/tmp/web', '/root/next']) await machine.copyIn(source, place)
  await machine.writeFile('/root/next/notes', 'two')
  const flags = '--listen 8080 --upload-dir /var/tmp/web --blue-port 21335 --green-port 21336'.split(' ')
  const command = '/usr/sbin/nginx -e stderr -p {dir} -c {dir}/{slot}.conf'
  const start = ['--start', command, '--executable', 'blue.conf', '--yes']
  await dorc('register', 'web', ...flags, ...start)
  await machine.until('web is ready', isReady)
  await dorc('deploy', 'web', '/root/next', '--switch')
  assert.match(await shell('curl -s http://127.0.0.1:8080/'), /nginx in green/)
})

/** Calls `change` while new and kept connections are made again and again; all must be answered. */
async function underLoad(t: TestContext, change: () => Promise<unknown>): Promise<void> {
  const load = machine.spawn([
    'bash',
    '-c',
    `until [ -e /run/load-over ]; do for keep in "" -k; do
       ab -q -l -n 1500 -c 10 $keep http://127.0.0.1:8080/ || { echo BROKEN; exit 1; }; done; done 2>&1`,
  ])
  let output = ''
  load.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text))
  const ended = new Promise((resolve) => load.once('close', resolve))
  const complete = (): number => [...output.matchAll(/^Complete requests:/gm)].length
  await machine.until('the load is on', () => Promise.resolve(complete() >= 1))
  try {
    await change()
    const now = complete()
    await machine.until('the load went on', () =>
      Promise.resolve(complete() > now + 1 || /BROKEN/.test(output)),
    )
  } finally {
    await shell('touch /run/load-over')
    await ended
    await shell('rm /run/load-over')
  }
  assert.doesNotMatch(output, /BROKEN|Non-2xx|Failed requests:\s+[1-9]/)
  t.diagnostic(`${complete() * 1500} requests, 0 failed`)
}

/** What somebody asked for; whether a bake has ended meanwhile is not that. */
async function intentOf() {
  const { generation, active, slots } = await status()
  return { generation, active, releases: [slots.blue.release, slots.green.release] }
}

/** From one version to the other and back, each with a relay of its own. */
async function upgradeAndBack(t: TestContext): Promise<void> {
  for (const version of [NEXT, VERSION]) {
    const [before, intent] = [await relayBuild(), await intentOf()]
    await underLoad(t, async () => {
      await install(version)
      await machine.until('only a relay of the new version is left', async () => {
        const now = await relayBuild()
        return now !== before && now.trim().split('--build').length === 2
      })
    })
    assert.equal((await dorc('--version')).trim(), version)
    assert.match(await shell('journalctl -u dorcd -n 200 -o cat'), new RegExp(version.replaceAll('.', '\\.')))
    await machine.until('web is ready', isReady)
    assert.deepEqual(await intentOf(), intent)
    assert.match(await shell('curl -s http://127.0.0.1:8080/'), /nginx in green/)
  }
}

test('upgrade and downgrade fail no request while the kernel steers', { timeout: 300_000 }, async (t) => {
  assert.equal((await status()).dataPlane, 'steering')
  await upgradeAndBack(t)
  await machine.until('it steers', async () => (await status()).dataPlane === 'steering')
})

test('upgrade and downgrade fail no request while the relay carries', { timeout: 300_000 }, async (t) => {
  await machine.writeFile(
    '/etc/systemd/system/dorcd.service.d/no-bpf.conf',
    '[Service]\nCapabilityBoundingSet=~CAP_BPF CAP_NET_ADMIN\n',
  )
  await shell('systemctl daemon-reload; systemctl stop dorcd; rm -f /run/dorc/bpf/*; systemctl start dorcd')
  await machine.until('web is ready', isReady)
  assert.equal((await status()).dataPlane, 'relay')
  await upgradeAndBack(t)
})

test('a version that cannot read the state is refused, and what is there serves on', async (t) => {
  await install(NEXT)
  await machine.writeFile('/var/lib/dorc/intents/later.json', '{\n "schema": 2,\n "app": {}\n}\n')
  await underLoad(t, async () => {
    const refused = await machine.run([
      'apt-get',
      'install',
      '--yes',
      '--allow-downgrades',
      `/opt/packages/${fileOf(VERSION)}`,
    ])
    assert.notEqual(refused.status, 0)
    assert.match(refused.stderr + refused.stdout, /cannot read .*later\.json \(schema 2, it knows up to 1\)/)
  })
  await shell('rm /var/lib/dorc/intents/later.json')
  assert.equal((await dorc('--version')).trim(), NEXT)
  assert.match(await shell('dpkg --audit; systemctl is-active dorcd'), /^active\n$/)
})

test('after a reboot the app is served', async () => {
  await machine.reboot()
  await machine.until('web is served', async () => {
    const { stdout } = await machine.run(['curl', '-s', '--max-time', '20', 'http://127.0.0.1:8080/'])
    return /nginx in green/.test(stdout)
  })
})

test('remove stops dorc and its apps and leaves definitions, releases and data', async () => {
  const before = await shell('find /etc/dorc /var/lib/dorc | sort')
  const told = await machine.must(['apt-get', 'remove', '--yes', 'dorc'])
  assert.match(told, /Left as they are: \/etc\/dorc, \/var\/lib\/dorc, the data of the apps/)
  assert.equal(await shell('ss -tlnH "sport = :8080 or sport = :21335"'), '')
  assert.equal(await shell('systemctl list-units --all --plain --no-legend "dorc*" "blue-*" "green-*"'), '')
  // SQLite's beside the journal, and what nginx itself takes away when it ends.
  const isOfTheDaemon = /journal\.db-|\.pid$/
  const files = (text: string): string[] => text.split('\n').filter((line) => !isOfTheDaemon.test(line))
  assert.deepEqual(files(await shell('find /etc/dorc /var/lib/dorc | sort')), files(before))
})

test('installed again the app is back as it was', async () => {
  await install(VERSION)
  await machine.until('web is ready', isReady)
  assert.match(await shell('curl -s http://127.0.0.1:8080/'), /nginx in green/)
})

test('purge leaves the same, says so, and says how to delete it', async () => {
  const told = await machine.must(['apt-get', 'purge', '--yes', 'dorc'])
  assert.match(told, /were left as they are/)
  assert.match(told, /rm -rf \/etc\/dorc/)
  assert.equal(await shell('ls /etc/dorc/apps'), 'web.toml\n')
  assert.equal(await shell('find /usr/lib /usr/bin /usr/share -name "dorc*"'), '')
})
