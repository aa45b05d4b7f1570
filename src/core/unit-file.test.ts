import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { SlotProcess } from './slot-process.ts'
import { dynamicUserName, slotUnitName, slotUnitText } from './unit-file.ts'

const options = { stateDir: '/var/lib/dorc', hasRestartSteps: false }

const web: SlotProcess = {
  app: 'web',
  slot: 'blue',
  release: 3,
  incarnation: 7,
  port: 21235,
  startArgv: ['/var/lib/dorc/apps/web/blue/bin/web', '--port', '21235'],
  stopArgv: null,
  reloadArgv: null,
  hooks: { beforeStart: null, afterSwitch: null, afterRollback: null },
  workingDir: '/var/lib/dorc/apps/web/blue',
  environment: { PORT: '21235' },
  user: null,
  stopTimeoutMs: 1500,
  sandbox: { writablePaths: [], home: false, devices: false, off: false },
  resources: { memoryMaxBytes: null, cpuQuotaPercent: null, tasksMax: 4_096, openFiles: 65_536 },
}

const unitOf = (changes: Partial<SlotProcess>): string => slotUnitText({ ...web, ...changes }, options)
const valuesOf = (text: string, key: string): string[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith(`${key}=`))
    .map((line) => line.slice(key.length + 1))

test('the limits of a slot are in its unit, those that are not set are not', () => {
  const limits = { memoryMaxBytes: 512 * 1024 ** 2, cpuQuotaPercent: 150, tasksMax: 200, openFiles: 1_000 }
  const limited = unitOf({ resources: limits })
  assert.deepEqual(
    ['MemoryMax', 'CPUQuota', 'TasksMax', 'LimitNOFILE'].map((name) => valuesOf(limited, name)),
    [['536870912'], ['150%'], ['200'], ['1000']],
  )
  assert.deepEqual(valuesOf(unitOf({}), 'MemoryMax'), [])
  assert.deepEqual(valuesOf(unitOf({}), 'CPUQuota'), [])
})

test('a unit runs the start command, is restarted always, and tells its incarnation', () => {
  const text = unitOf({})
  assert.equal(slotUnitName('web', 'blue'), 'blue-web.service')
  assert.deepEqual(valuesOf(text, 'ExecStart'), [':"/var/lib/dorc/apps/web/blue/bin/web" "--port" "21235"'])
  assert.deepEqual(valuesOf(text, 'Restart'), ['always'])
  assert.deepEqual(valuesOf(text, 'StartLimitIntervalSec'), ['0'])
  assert.deepEqual(valuesOf(text, 'TimeoutStopSec'), ['1500ms'])
  assert.deepEqual(valuesOf(text, 'Environment'), ['"PORT=21235"', '"DORC_INCARNATION=7"'])
  assert.deepEqual(valuesOf(text, 'WantedBy'), ['multi-user.target'])
})

test('stop and reload commands are in the unit only when the app has them', () => {
  assert.deepEqual(valuesOf(unitOf({}), 'ExecStop'), [])
  assert.deepEqual(valuesOf(unitOf({}), 'ExecReload'), [])
  const text = unitOf({ stopArgv: ['/bin/stop'], reloadArgv: ['/bin/kill', '-HUP'] })
  assert.deepEqual(valuesOf(text, 'ExecStop'), [':"/bin/stop"'])
  assert.deepEqual(valuesOf(text, 'ExecReload'), [':"/bin/kill" "-HUP"'])
})

test('an app in the state directory sees nothing of it but its own slot', () => {
  const text = unitOf({})
  assert.deepEqual(valuesOf(text, 'TemporaryFileSystem'), ['/var/lib/dorc:ro'])
  assert.deepEqual(valuesOf(text, 'BindPaths'), ['"/var/lib/dorc/apps/web/blue"'])
  assert.deepEqual(valuesOf(unitOf({ workingDir: '/srv/web' }), 'TemporaryFileSystem'), [])
})

test('a working directory at home is mounted into an empty home', () => {
  const text = unitOf({ workingDir: '/home/ada/web' })
  assert.deepEqual(valuesOf(text, 'ProtectHome'), ['tmpfs'])
  assert.deepEqual(valuesOf(text, 'BindPaths'), ['"/home/ada/web"'])
})

test('an app is root only when it is told to be', () => {
  assert.deepEqual(valuesOf(unitOf({}), 'User'), ['dorc-web'])
  assert.deepEqual(valuesOf(unitOf({}), 'DynamicUser'), ['yes'])
  const off = { ...web.sandbox, off: true }
  assert.deepEqual(valuesOf(unitOf({ sandbox: off }), 'DynamicUser'), ['yes'])
  assert.deepEqual(valuesOf(unitOf({ user: 'root' }), 'User'), ['root'])
  assert.deepEqual(valuesOf(unitOf({ user: 'root' }), 'DynamicUser'), [])
})

test('each way out of the sandbox opens its own door only', () => {
  const withSandbox = (change: Partial<SlotProcess['sandbox']>): string =>
    unitOf({ sandbox: { ...web.sandbox, ...change } })
  assert.deepEqual(valuesOf(withSandbox({ home: true }), 'ProtectHome'), ['read-only'])
  assert.deepEqual(valuesOf(withSandbox({ devices: true }), 'PrivateDevices'), ['no'])
  assert.deepEqual(valuesOf(withSandbox({ writablePaths: ['/srv/data'] }), 'ReadWritePaths'), ['"/srv/data"'])
  assert.deepEqual(valuesOf(withSandbox({ off: true }), 'ProtectSystem'), [])
  assert.deepEqual(valuesOf(withSandbox({ devices: true }), 'ProtectSystem'), ['strict'])
})

test('a port below 1024 gives the one capability that it takes', () => {
  assert.deepEqual(valuesOf(unitOf({ port: 80 }), 'CapabilityBoundingSet'), ['CAP_NET_BIND_SERVICE'])
  assert.deepEqual(valuesOf(unitOf({}), 'CapabilityBoundingSet'), [''])
})

test('a newer systemd is told to wait longer after each restart', () => {
  assert.match(slotUnitText(web, { ...options, hasRestartSteps: true }), /^RestartSteps=5$/m)
})

test('programs that systemd would read otherwise are refused', () => {
  for (const program of [
    'bin/web',
    '',
    '@/bin/web',
    '-/bin/web',
    ':/bin/web',
    '+/bin/web',
    '!/bin/web',
    '!!/x',
    '/',
    '/bin/',
    '/a/../b',
    '/a"b',
    "/a'b",
    '/a\\b',
  ])
    assert.throws(() => unitOf({ startArgv: [program] }), { code: 'DEFINITION_INVALID' }, program)
})

test('control characters, lone surrogates and noncharacters are refused wherever they stand', () => {
  for (const bad of [
    '\n',
    '\r',
    '\0',
    '\u001b',
    '\t',
    '\u007f',
    '\u0085',
    '\ud800',
    '\ufffe',
    '\ufdd0',
    '\u{1ffff}',
  ])
    for (const change of [
      { startArgv: ['/bin/web', `a${bad}b`] },
      { startArgv: [`/bin/${bad}web`] },
      { environment: { KEY: `a${bad}b` } },
      { environment: { [`K${bad}`]: 'v' } },
      { workingDir: `/srv/${bad}x` },
      { user: `ada${bad}` },
      { sandbox: { ...web.sandbox, writablePaths: [`/srv/${bad}x`] } },
    ])
      assert.throws(() => unitOf(change), { code: 'DEFINITION_INVALID' }, JSON.stringify(change))
})

test('no argument, variable or path can add or change another line of the unit', () => {
  const expected = unitOf({ startArgv: ['/bin/web', 'x'], environment: { KEY: 'x' }, workingDir: '/srv/x' })
  const others = (text: string): string[] =>
    text
      .split('\n')
      .filter((line) => !/^(ExecStart|WorkingDirectory|BindPaths|Environment="KEY)=?/.test(line))
  const hostile = fc.string({ unit: 'binary', maxLength: 30 }).map((text) => text.replaceAll(/\p{C}/gu, ';'))
  fc.assert(
    fc.property(hostile, hostile, hostile, (argument, value, directory) => {
      const workingDir = `/srv/${directory.replaceAll(/["'\\:]/g, '')}x`
      const text = unitOf({ startArgv: ['/bin/web', argument], environment: { KEY: value }, workingDir })
      assert.deepEqual(others(text), others(expected))
    }),
    { numRuns: 2000 },
  )
})

test('dynamic users have names that systemd takes, one for each app', () => {
  assert.equal(dynamicUserName('web'), 'dorc-web')
  const names = ['dwbrite.com', 'dwbrite-com', 'a'.repeat(48), `${'a'.repeat(47)}b`, 'a.b-c', 'a-b.c'].map(
    dynamicUserName,
  )
  for (const name of names) assert.match(name, /^[a-z][a-z0-9_-]{0,30}$/)
  assert.equal(new Set(names).size, names.length)
})
