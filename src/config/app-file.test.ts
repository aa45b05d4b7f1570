import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { DorcError } from '../core/errors.ts'
import type { Definition } from '../core/definition.ts'
import { pathsUnder } from '../platform/paths.ts'
import { parseAppFile } from './app-file.ts'
import { knownKeys } from './schema.ts'

const parse = (toml: string): Definition =>
  parseAppFile({ name: 'web', toml, fileName: 'web.toml', paths: pathsUnder('/') })

const small = `listen = 8080
executable = "bin/app"
[blue]
port = 21235
[green]
port = 21236
`

/** The message of the one error that everything wrong is told in. */
function complaint(toml: string): string {
  try {
    parse(toml)
  } catch (error) {
    assert.ok(error instanceof DorcError && error.code === 'DEFINITION_INVALID')
    return error.message
  }
  return assert.fail(`accepted: ${toml}`)
}

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

for (const [what, toml, message] of [
  [
    'an unknown key and the nearest right one',
    `${small}[probe]\nhtpp = "/"\n`,
    /line 8: probe\.htpp there is no such key; did you mean "http"\?/,
  ],
  [
    'an unknown key of a slot',
    small.replace('port = 21236', 'prot = 21236'),
    /line 6: green\.prot there is no such key; did you mean "port"\?/,
  ],
  ['a missing port', small.replace('port = 21236\n', ''), /line 5: green\.port is missing/],
  ['a missing executable', small.replace('executable = "bin/app"\n', ''), /executable is missing/],
  ['a port that is text', small.replace('21235', '"x"'), /line 4: blue\.port must be a whole number/],
  ['a port out of range', small.replace('21235', '70000'), /line 4: blue\.port must be 1 to 65535/],
  ['port 0', small.replace('21235', '0'), /line 4: blue\.port must be 1 to 65535/],
  ['equal ports', small.replace('21236', '21235'), /line 6: green\.port must differ from blue\.port/],
  [
    'a slot on the listen port',
    small.replace('21235', '8080'),
    /line 4: blue\.port must differ from the listen port/,
  ],
  ['a relative path', `upload_dir = "tmp"\n${small}`, /line 1: upload_dir must be an absolute path/],
  ['a path that climbs', `upload_dir = "/var/../etc"\n${small}`, /upload_dir must be an absolute path/],
  [
    'an executable outside of the release',
    small.replace('bin/app', '../app'),
    /line 2: executable must be a path inside/,
  ],
  ['a duration that is none', `bake = "soon"\n${small}`, /line 1: bake must be a duration/],
  [
    'an open quote in a command',
    `start = "{executable} 'x"\n${small}`,
    /line 1: start cannot be split into words: a ' is not closed/,
  ],
  [
    'a command that is not absolute',
    `start = "node x"\n${small}`,
    /line 1: start must begin with \{executable\}/,
  ],
  [
    'a control character',
    `start = "{executable} \\u001b"\n${small}`,
    /start must not have control characters/,
  ],
  [
    'two kinds of probe',
    `${small}[probe]\nhttp = "/"\ntcp = true\n`,
    /probe takes one of http, tcp and command/,
  ],
  ['a wrong type', `auto_switch = "yes"\n${small}`, /line 1: auto_switch .*boolean/],
  ['broken TOML', `${small}[[[`, /line 7: /],
  ['a listen address that is none', small.replace('8080', '"web:http"'), /line 1: listen must be a port/],
  [
    'slots in one directory',
    `${small}dir = "/srv/a"\n`.replace('port = 21235', 'port = 21235\ndir = "/srv/a"'),
    /green\.dir must not overlap/,
  ],
  [
    'a slot over a directory of the system',
    `${small}dir = "/usr"\n`,
    /green\.dir must be a directory of its own/,
  ],
] as const) {
  test(`${what} is told with its line`, () => assert.match(complaint(toml), message))
}

test('everything that is wrong is told at once', () => {
  const message = complaint(
    `listen = 8080\nexecutabel = "x"\nbake = "x"\n[blue]\nport = -1\n[green]\nport = 2\n`,
  )
  for (const part of [/line 2: executabel/, /line 3: bake/, /line 5: blue\.port/]) assert.match(message, part)
})

test('a file of more than 64 KiB is refused', () => {
  assert.match(complaint(`${small}# ${'x'.repeat(70_000)}`), /larger than 64 KiB/)
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

test('docs/configuration.md has a line for every key, and for no other', () => {
  const text = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')
  const documented = [...text.matchAll(/^\| `([a-z_.]+)` \|/gm)].map(([, key]) => key)
  const tables = new Set(['blue', 'green', 'probe', 'sandbox'])
  assert.deepEqual(new Set(documented), new Set(knownKeys().filter((key) => !tables.has(key))))
})
