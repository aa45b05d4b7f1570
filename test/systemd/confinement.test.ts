import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import type { AppStatus, StatusReport } from '../../src/api/protocol.ts'
import { bootMachine, type Machine } from './machine.ts'

/** Hosts that do not let dorc steer, as containers and locked-down kernels do not: what its unit takes away, they forbid. */
const DORC = '/opt/dorc/bin/dorc'

let machine: Machine

const dorc = (...argv: string[]): Promise<string> => machine.must([DORC, ...argv])

async function statusOfSite(): Promise<AppStatus> {
  const [site] = (JSON.parse(await dorc('status', 'site', '--json')) as StatusReport).apps
  assert.ok(site !== undefined)
  return site
}

const untilReady = (): Promise<void> =>
  machine.until('both slots are ready', async () => {
    const { slots } = await statusOfSite()
    return slots.blue.ready && slots.green.ready
  })

before(async () => {
  machine = await bootMachine({ name: 'confinement' })
  await dorc('setup')
  await machine.must(['cp', '-r', '/opt/dorc/test/fixtures/foreign/nginx', '/var/tmp/site'])
  const start = '/usr/sbin/nginx -e stderr -p {dir} -c {dir}/{slot}.conf'
  const places = '--listen 8081 --upload-dir /var/tmp/site --blue-port 21335 --green-port 21336'
  await dorc('register', 'site', ...places.split(' '), '--executable', 'blue.conf', '--start', start, '--yes')
  await untilReady()
})
after(() => machine[Symbol.asyncDispose]())

/** Restarts the daemon with these lines in its unit, and with nothing pinned. */
async function confineDaemon(lines: string): Promise<void> {
  await machine.writeFile('/etc/systemd/system/dorcd.service.d/confined.conf', `[Service]\n${lines}\n`)
  const script = 'systemctl daemon-reload; systemctl stop dorcd; rm -f /run/dorc/bpf/*; systemctl start dorcd'
  const { status } = await machine.run(['sh', '-c', script])
  if (status !== 0) assert.fail(await machine.must(['journalctl', '-u', 'dorcd', '-n', '30', '-o', 'cat']))
  await machine.until('the daemon is back', async () => (await machine.run([DORC, 'status'])).status === 0)
  await untilReady()
}

const failedRequests = async (...options: string[]): Promise<string | undefined> => {
  const argv = ['ab', '-q', '-l', '-n', '2000', '-c', '20', ...options, 'http://127.0.0.1:8081/']
  return /Failed requests:\s+(\d+)/.exec(await machine.must(argv))?.[1]
}

for (const [what, lines, expected] of [
  [
    // What kernel.yama.ptrace_scope=3 answers, which nothing but a reboot undoes.
    'pidfd_getfd',
    'SystemCallFilter=~pidfd_getfd',
    /^the kernel forbids taking the listening socket of pid \d+ \(CAP_SYS_PTRACE, kernel\.yama\.ptrace_scope\)$/,
  ],
  [
    'the right to bpf(2)',
    'SystemCallFilter=~bpf',
    /^the kernel forbids steering: bpf \w+ failed with EPERM.*$/,
  ],
  [
    'a bpf file system',
    'TemporaryFileSystem=/run/dorc/bpf',
    /^no bpf file system is mounted on \/run\/dorc\/bpf$/,
  ],
] as const)
  test(`without ${what} the relay carries, status says why in one line, and nothing tries on and on`, async (t) => {
    await confineDaemon(lines)
    const { dataPlane, dataPlaneReason } = await statusOfSite()
    assert.equal(dataPlane, 'relay')
    assert.match(dataPlaneReason ?? '', expected)
    const tries = await triesDuring(async () => {
      for (const options of [[], ['-k']]) assert.equal(await failedRequests(...options), '0')
      await dorc('switch', 'site')
      assert.equal(await failedRequests(), '0')
    })
    t.diagnostic(`"${dataPlaneReason}": ${tries} tries in 6,000 requests and a switch`)
    assert.ok(tries <= 10, `${tries} tries`)
  })

test('without pidfd_getfd a new app is served, by a relay that was started with its socket', async () => {
  await confineDaemon('SystemCallFilter=~pidfd_getfd')
  const start = '/usr/bin/python3 -m http.server --bind 127.0.0.1 {port}'
  await machine.must(['sh', '-c', 'mkdir /var/tmp/files && echo hello > /var/tmp/files/index.html'])
  const places = '--listen 8082 --upload-dir /var/tmp/files --blue-port 21435 --green-port 21436'
  await dorc(
    'register',
    'files',
    ...places.split(' '),
    '--executable',
    'index.html',
    '--start',
    start,
    '--yes',
  )
  await machine.until('it is served', async () => {
    const { stdout } = await machine.run(['curl', '-s', '--max-time', '10', 'http://127.0.0.1:8082/'])
    return stdout.includes('hello')
  })
  await dorc('switch', 'site')
  assert.equal(await failedRequests(), '0')
})

/** How often the daemon tries to steer meanwhile: opens or makes something of the kernel's, or takes an app's socket. */
async function triesDuring(act: () => Promise<void>): Promise<number> {
  const pid = (await machine.must(['systemctl', 'show', '-P', 'MainPID', 'dorcd'])).trim()
  const script = 'echo $$; exec strace -f -qq -e trace=bpf,pidfd_getfd -p "$1"'
  const trace = machine.spawn(['sh', '-c', script, 'sh', pid])
  let [tracePid, traced] = ['', '']
  trace.stdout?.setEncoding('utf8').on('data', (text: string) => (tracePid += text))
  trace.stderr?.setEncoding('utf8').on('data', (text: string) => (traced += text))
  await machine.until('strace is attached', async () =>
    /TracerPid:\s+[1-9]/.test(await machine.must(['cat', `/proc/${pid}/status`])),
  )
  await act()
  await machine.must(['kill', '-INT', tracePid.trim()])
  await once(trace, 'close')
  return traced.split('\n').filter((line) => /pidfd_getfd\(|BPF_(MAP_CREATE|PROG_LOAD|OBJ_GET)/.test(line))
    .length
}
