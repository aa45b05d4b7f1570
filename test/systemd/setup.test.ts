import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { bootMachine, type Machine, type RunResult } from './machine.ts'

/** `dorc setup` and its way back, in order: each test goes on where the one before left the machine. */
const NODE = '/opt/dorc/node_modules/.bin/node'
const DORC = '/opt/dorc/bin/dorc'

let machine: Machine

before(async () => {
  machine = await bootMachine({ name: 'setup' })
})
after(async () => {
  await machine[Symbol.asyncDispose]()
})

const setup = (what: 'setup' | 'remove' | 'purge', ...prefix: string[]): Promise<RunResult> =>
  machine.run([...prefix, NODE, '/opt/dorc/test/systemd/guest/run-setup.ts', what])

const shell = (script: string): Promise<string> => machine.must(['sh', '-c', script])

async function property(unit: string, name: string): Promise<string> {
  return (await machine.must(['systemctl', 'show', '--property', name, '--value', unit])).trim()
}

/** Registers a Python web server, and waits until it is served. */
async function registerWeb(): Promise<void> {
  const script =
    '#!/bin/sh\necho "home is $HOME" > index.html\nexec python3 -m http.server --bind 127.0.0.1 "$PORT"\n'
  await machine.writeFile('/var/tmp/web/bin/app', script, '0755')
  const ports = ['--listen', '8080', '--blue-port', '21235', '--green-port', '21236']
  await machine.must([DORC, 'register', 'web', ...ports, '--executable', 'bin/app', '--yes'])
  await untilServed()
}

const untilServed = (): Promise<void> =>
  machine.until('web is served', async () => {
    const { stdout } = await machine.run(['curl', '--silent', '--max-time', '20', 'http://localhost:8080/'])
    return stdout.startsWith('home is')
  })

test('setup needs root, and says so', async () => {
  const { status, stderr } = await setup('setup', 'setpriv', '--reuid=65534', '--clear-groups')
  assert.equal(status, 1)
  assert.match(stderr, /SETUP_FAILED: Setting dorc up needs root\nRun: sudo dorc setup/)
})

test('setup brings daemon and relay up, now and at boot', async () => {
  const { status, stdout, stderr } = await setup('setup')
  assert.equal(status, 0, stderr)
  assert.match(stdout, /The daemon and the relay run, now and at boot/)
  for (const unit of ['dorcd.service', 'dorc-relay@1.service']) {
    assert.equal(await property(unit, 'ActiveState'), 'active', unit)
    assert.equal((await machine.must(['systemctl', 'is-enabled', unit])).trim(), 'enabled', unit)
  }
  assert.equal(
    await shell('stat -c "%U:%G %a" /run/dorc/dorc.sock /var/lib/dorc /etc/dorc/apps'),
    'root:dorc 660\nroot:root 700\nroot:root 755\n',
  )
})

test('root runs nothing that the owner of the checkout can change', async () => {
  assert.match(
    await property('dorcd.service', 'ExecStart'),
    /path=\/usr\/local\/lib\/dorc\/[0-9a-f]{12}\/node ;/,
  )
  assert.equal(await shell('find /usr/local/lib/dorc ! -user root -o -type f -perm /022'), '')
})

test('setup again changes nothing and does not restart the daemon', async () => {
  const before = await property('dorcd.service', 'MainPID')
  const { status, stdout } = await setup('setup')
  assert.equal(status, 0)
  assert.match(stdout, /All units were as they should be/)
  assert.equal(await property('dorcd.service', 'MainPID'), before)
})

test('in its sandbox the daemon takes a release in, opens the public port and starts both slots', async () => {
  await registerWeb()
  for (const unit of ['blue-web.service', 'green-web.service', 'dorc-listen-web.socket'])
    assert.equal(await property(unit, 'ActiveState'), 'active', unit)
})

test('a killed daemon is back by itself, and its slots never noticed', async () => {
  const pids = async (): Promise<string[]> => [
    await property('blue-web.service', 'MainPID'),
    await property('dorc-relay@1.service', 'MainPID'),
  ]
  const before = await pids()
  for (let count = 0; count < 5; count++) {
    await machine.run(['systemctl', 'kill', '--signal=KILL', 'dorcd'])
    await untilServed()
  }
  await machine.until('the daemon answers', async () => (await machine.run([DORC, 'status'])).status === 0)
  assert.deepEqual(await pids(), before)
})

test('an upgrade of the checkout replaces daemon and relay, and the old build goes', async () => {
  const before = await shell('readlink /usr/local/lib/dorc/current')
  await shell('cp -a /opt/dorc /opt/newer 2>/dev/null; echo "// newer" >> /opt/newer/dist/dorcd.js')
  const upgraded = await machine.run([NODE, '/opt/newer/test/systemd/guest/run-setup.ts', 'setup'])
  assert.equal(upgraded.status, 0, upgraded.stderr)
  const current = await shell('readlink /usr/local/lib/dorc/current')
  assert.notEqual(current, before)
  await untilServed()
  await machine.until('the relay is of the new build', async () => {
    const argv = await shell(
      'cat /proc/$(systemctl show -P MainPID "dorc-relay@2.service")/cmdline 2>/dev/null | tr "\\0" " "',
    )
    return argv.includes(`--build ${current.trim()}`)
  })
  await untilServed()
  await machine.until(
    'the old relay has ended',
    async () => (await property('dorc-relay@1.service', 'ActiveState')) === 'inactive',
  )
  await machine.until('only one build is left', async () => {
    assert.equal((await setup('setup')).status, 0)
    return (await shell('ls /usr/local/lib/dorc')) === [before, 'current\n'].toSorted().join('')
  })
})

test('after a reboot the apps are served again, and a shutdown waits for no open connection', async () => {
  const idle = machine.spawn(['bash', '-c', 'exec 3<>/dev/tcp/127.0.0.1/8080 && echo open && sleep 1000'])
  await once(idle.stdout ?? idle, 'data')
  await machine.reboot()
  idle.kill()
  await untilServed()
  assert.equal(await property('dorcd.service', 'ActiveState'), 'active')
})

test('remove takes everything off the host but definitions and data', async () => {
  const { status, stdout, stderr } = await setup('remove')
  assert.equal(status, 0, stderr)
  assert.match(stdout, /Left as they are: \/etc\/dorc, \/var\/lib\/dorc/)
  assert.equal(await shell('systemctl list-units --all --plain --no-legend "dorc*" "blue-*" "green-*"'), '')
  assert.equal(
    await shell(
      'find /etc/systemd/system /usr/local/lib /run -name "*dorc*" -o -name "blue-*" -o -name "green-*"',
    ),
    '',
  )
  assert.equal(await shell('ss -tlnH "sport = :8080 or sport = :21235"'), '')
  assert.equal(await shell('ls /etc/dorc/apps'), 'web.toml\n')
})

test('removing what is not there does nothing', async () => {
  assert.equal((await setup('remove')).status, 0)
})

test('setup brings the apps back as they were', async () => {
  assert.equal((await setup('setup')).status, 0)
  await untilServed()
})

test('remove names a unit that somebody changed, and leaves it', async () => {
  await shell('echo "# mine" >> /etc/systemd/system/blue-web.service')
  const { status, stdout } = await setup('remove')
  assert.equal(status, 0)
  assert.match(stdout, /Left: Unit file "\/etc\/systemd\/system\/blue-web.service" was changed by hand/)
  await shell('rm /etc/systemd/system/blue-web.service; systemctl daemon-reload')
})

test('purge leaves nothing', async () => {
  assert.equal((await setup('setup')).status, 0)
  await untilServed()
  const { status, stderr } = await setup('purge')
  assert.equal(status, 0, stderr)
  assert.equal(await shell('find /etc /var/lib /usr/local/lib /run -name "*dorc*"'), '')
  assert.equal((await machine.run(['getent', 'group', 'dorc'])).status, 2)
})
