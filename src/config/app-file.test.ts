import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { stringify } from 'smol-toml'
import { DorcError } from '../core/errors.ts'
import { smallestAppFile as small } from '../../test/fixtures/smallest-app-file.ts'
import type { Definition } from '../core/definition.ts'
import { slotProcess } from '../core/slot-process.ts'
import { slotUnitText } from '../core/unit-file.ts'
import { pathsUnder } from '../platform/paths.ts'
import { checkAppFile, parseAppFile } from './app-file.ts'
import { knownKeys } from './schema.ts'

const parse = (toml: string): Definition =>
  parseAppFile({ name: 'web', toml, fileName: 'web.toml', paths: pathsUnder('/') })

test('the smallest file gets every default', () => {
  const definition = parse(small)
  assert.deepEqual(definition.listen, { host: '0.0.0.0', port: 8080 })
  assert.equal(definition.uploadDir, '/var/tmp/web')
  assert.equal(definition.slots.green.workingDir, '/var/lib/dorc/apps/web/green')
  assert.deepEqual(definition.slots.blue.start, ['{executable}'])
  assert.deepEqual(definition.slots.blue.probe, { kind: 'auto', intervalMs: 1_000, timeoutMs: 2_000 })
  assert.deepEqual([definition.bakeMs, definition.minHealthyMs, definition.keepReleases], [60_000, 5_000, 5])
})

test('the example of the design is understood', () => {
  const definition = parse(`listen = "0.0.0.0:8080"
upload_dir = "/var/tmp/web"
executable = "target/web"
start = "{executable} --port {port}"
auto_switch = false
bake = "1min"
[probe]
http = "/healthz"
[blue]
port = 21235
[green]
port = 21236
[environment]
RUST_LOG = "info"
`)
  assert.deepEqual(definition.slots.blue.start, ['{executable}', '--port', '{port}'])
  assert.deepEqual(definition.slots.green.environment, { RUST_LOG: 'info' })
  assert.equal(definition.slots.blue.probe.kind, 'http')
})

test('a key of one slot stands over that of both', () => {
  const { blue, green } = parse(
    `start = "{executable} all"\n${small}start = "/bin/x green"\n[green.environment]\nA = "1"\n`,
  ).slots
  assert.deepEqual(
    [blue.start, green.start],
    [
      ['{executable}', 'all'],
      ['/bin/x', 'green'],
    ],
  )
  assert.deepEqual([blue.environment, green.environment], [{}, { A: '1' }])
})

test('a slot that probes in its own way keeps only the times of the shared table', () => {
  const { blue, green } = parse(
    `${small}[probe]\nhttp = "/healthz"\nexpect_status = 204\ninterval = "3s"\n[green.probe]\ntcp = true\n`,
  ).slots
  assert.equal(blue.probe.kind, 'http')
  assert.deepEqual(green.probe, { kind: 'tcp', intervalMs: 3_000, timeoutMs: 2_000 })
})

test('a slot may change only one thing about the shared probe', () => {
  const { green } = parse(`${small}[probe]\nhttp = "/healthz"\n[green.probe]\nhost = "green.test"\n`).slots
  assert.ok(green.probe.kind === 'http')
  assert.deepEqual([green.probe.path, green.probe.host], ['/healthz', 'green.test'])
})

test('sandbox and environment of one slot are added to those of both', () => {
  const { blue, green } = parse(
    `${small}[sandbox]\nhome = true\n[green.sandbox]\ndevices = true\n[environment]\nA = 1\nB = true\n[green.environment]\nA = "2"\n`,
  ).slots
  assert.deepEqual([blue.sandbox.home, blue.sandbox.devices], [true, false])
  assert.deepEqual([green.sandbox.home, green.sandbox.devices], [true, true])
  assert.deepEqual(
    [blue.environment, green.environment],
    [
      { A: '1', B: 'true' },
      { A: '2', B: 'true' },
    ],
  )
})

for (const [listen, address] of [
  ['8080', { host: '0.0.0.0', port: 8080 }],
  ['"8080"', { host: '0.0.0.0', port: 8080 }],
  ['"127.0.0.1:80"', { host: '127.0.0.1', port: 80 }],
  ['"[::]:8080"', { host: '::', port: 8080 }],
  ['"[0:0::0]:8080"', { host: '::', port: 8080 }],
  ['"[2001:DB8::1]:443"', { host: '2001:db8::1', port: 443 }],
] as const) {
  test(`listen = ${listen} is understood`, () => {
    assert.deepEqual(parse(small.replace('8080', listen)).listen, address)
  })
}

test('a path is the same however its slashes were typed', () => {
  const { uploadDir, slots } = parse(
    `upload_dir = "/var//tmp/./web/"\n${small.replace('bin/app', './bin//app')}dir = "/srv/green/"\n`,
  )
  assert.deepEqual(
    [uploadDir, slots.blue.executable, slots.green.workingDir],
    ['/var/tmp/web', 'bin/app', '/srv/green'],
  )
})

test('a command is text that is split into words, or the words', () => {
  const { blue, green } = parse(
    `start = "{executable} --name 'two words'"\n${small}start = ["{dir}/run", "two words", "a;b|c $HOME"]\n`,
  ).slots
  assert.deepEqual(blue.start, ['{executable}', '--name', 'two words'])
  assert.deepEqual(green.start, ['{dir}/run', 'two words', 'a;b|c $HOME'])
})

test('what a file defines can be put into a unit', () => {
  const mostly = (good: Iterable<string>, bad: Iterable<string>) =>
    fc.oneof(
      { weight: 60, arbitrary: fc.constantFrom(...good) },
      { weight: 1, arbitrary: fc.constantFrom(...bad) },
    )
  const text = fc.string({ unit: mostly(`ab %$"'\\;:@{}~/\u202e`, '\t\u0085\ufffe') })
  const path = fc.string({ unit: mostly('ab %$;@{}~/.', `:"'\\`) }).map((name) => `/srv/${name}`)
  const word = fc.oneof(text, fc.constantFrom('{port}', '%n', '${HOME}'))
  const document = fc.record(
    {
      start: fc.tuple(fc.constantFrom('{executable}', '/bin/x', '{dir}/%i'), word),
      stop: word.map((line) => `/bin/stop ${line}`),
      user: mostly(['web', 'first.last', '1000'], ['a b', '%u', '']),
      environment: fc.dictionary(mostly('Ab', '1'), text),
      sandbox: fc.record({ writable_paths: fc.array(path, { maxLength: 2 }) }),
    },
    { requiredKeys: [] },
  )
  let accepted = 0
  const check = (given: Record<string, unknown>, dir: string): void => {
    const toml = stringify({
      ...given,
      listen: 80,
      executable: 'x',
      blue: { port: 1, dir },
      green: { port: 2 },
    })
    const checked = checkAppFile({ name: 'web', toml, fileName: 'web.toml', paths: pathsUnder('/') })
    if (!checked.ok) return
    accepted += 1
    const intent = {
      release: 1,
      run: 'running',
      incarnation: 1,
      definition: checked.definition.slots.blue,
    } as const
    slotUnitText(slotProcess('web', 'blue', intent), { stateDir: '/var/lib/dorc', hasRestartSteps: true })
  }
  fc.assert(fc.property(document, path, check), { numRuns: 2_000 })
  assert.ok(accepted > 200, `${accepted} accepted`)
})

test('no text at all makes it throw anything but its own error', () => {
  const line = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom(...small.split('\n'), ...knownKeys().map((key) => `${key} = 1`)),
  )
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      try {
        parse(lines.join('\n'))
      } catch (error) {
        assert.ok(error instanceof DorcError, String(error))
      }
    }),
    { numRuns: 2_000 },
  )
})

test('no value of any key makes it throw anything', () => {
  const value = fc.jsonValue().filter((candidate) => candidate !== null)
  const table = (keys: readonly string[]) => fc.dictionary(fc.constantFrom(...keys), value, { maxKeys: 4 })
  const slot = table(['port', 'dir', 'start', 'environment', 'probe', 'unknown'])
  const keys = [
    'listen',
    'bake',
    'start',
    'stop',
    'user',
    'environment',
    'probe',
    'sandbox',
    'executable',
    'unknown',
  ]
  let judged = 0
  fc.assert(
    fc.property(table(keys), fc.oneof(value, slot), fc.oneof(value, slot), (given, blue, green) => {
      const toml = tomlOf({ ...given, blue, green })
      if (toml === null) return
      judged += 1
      const checked = checkAppFile({ name: 'web', toml, fileName: 'web.toml', paths: pathsUnder('/') })
      assert.ok(checked.ok || checked.problems.length > 0)
    }),
    { numRuns: 4_000 },
  )
  assert.ok(judged > 300, `${judged} judged`)
})

/** null: TOML has no word for it, such as for null in an array. */
function tomlOf(document: unknown): string | null {
  try {
    return stringify(document)
  } catch (error) {
    if (error instanceof TypeError) return null
    throw error
  }
}
