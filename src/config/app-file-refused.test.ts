import assert from 'node:assert/strict'
import { test } from 'node:test'
import { smallestAppFile as small } from '../../test/fixtures/smallest-app-file.ts'
import type { Definition } from '../core/definition.ts'
import { pathsUnder } from '../platform/paths.ts'
import { checkAppFile, parseAppFile } from './app-file.ts'

const parse = (toml: string): Definition =>
  parseAppFile({ name: 'web', toml, fileName: 'web.toml', paths: pathsUnder('/') })

/** Everything that is wrong with the file, a line each. */
function complaints(toml: string): string {
  const checked = checkAppFile({ name: 'web', toml, fileName: 'web.toml', paths: pathsUnder('/') })
  assert.ok(!checked.ok, `accepted: ${toml}`)
  return checked.problems.map(({ line, key, message }) => `line ${line}: ${key} ${message}`).join('\n')
}

for (const listen of [
  '0',
  '65536',
  '-1',
  '80.5',
  '"0"',
  '"080"',
  '"65536"',
  '"99999"',
  '""',
  '"web"',
  '"web:http"',
  '"localhost:80"',
  '":80"',
  '"::8080"',
  '"[::]"',
  '"[1.2.3.4]:80"',
  '"1.2.3:80"',
  '"01.2.3.4:80"',
  '"256.1.1.1:80"',
  '"[fe80::1%eth0]:80"',
  '" 80"',
  '"80 "',
  '"8080/tcp"',
  '"http://0.0.0.0:80"',
]) {
  test(`listen = ${listen} is refused`, () => {
    assert.match(complaints(small.replace('8080', listen)), /^line 1: listen must be a port \(1 to 65535\)/)
  })
}

for (const [what, toml, message] of [
  [
    'an unknown key and the nearest right one',
    `${small}[probe]\nhtpp = "/"\n`,
    /line 8: probe\.htpp is not a known key; did you mean "http"\?/,
  ],
  [
    'an unknown key of a slot',
    small.replace('port = 21236', 'prot = 21236'),
    /line 6: green\.prot is not a known key; did you mean "port"\?/,
  ],
  [
    'a key that is spelled with a hyphen',
    `upload-dir = "/x"\n${small}`,
    /line 1: upload-dir is not a known key; did you mean "upload_dir"\?/,
  ],
  ['a key that resembles none', `zzzzzzz = 1\n${small}`, /line 1: zzzzzzz is not a known key$/],
  [
    'a key that slid into a table',
    `${small}bake = "1min"\n`,
    /line 7: green\.bake is not a key of this table; it belongs above the first \[table\]/,
  ],
  ['a missing port', small.replace('port = 21236\n', ''), /line 5: green\.port is missing/],
  ['a missing slot', small.replace(/\[green\][^]*/, ''), /green is missing/],
  [
    'a slot that is no table',
    `blue = 3\n${small.replace(/\[blue\]\nport = 21235\n/, '')}`,
    /line 1: blue must be a table/,
  ],
  ['a missing executable', small.replace('executable = "bin/app"\n', ''), /executable is missing/],
  [
    'an executable that only one slot has',
    `${small.replace('executable = "bin/app"\n', '')}executable = "x"\n`,
    /blue\.executable is missing/,
  ],
  ['a port that is text', small.replace('21235', '"x"'), /line 4: blue\.port must be a whole number/],
  ['a port with a fraction', small.replace('21235', '80.5'), /line 4: blue\.port must be a whole number/],
  ['a port out of range', small.replace('21235', '70000'), /line 4: blue\.port must be 1 to 65535/],
  ['port 0', small.replace('21235', '0'), /line 4: blue\.port must be 1 to 65535/],
  ['equal ports', small.replace('21236', '21235'), /line 6: green\.port must differ from blue\.port/],
  [
    'a slot on the listen port',
    small.replace('21235', '8080'),
    /line 4: blue\.port must differ from the listen port/,
  ],
  ['a relative path', `upload_dir = "tmp"\n${small}`, /line 1: upload_dir must be an absolute path/],
  [
    'a path that climbs',
    `upload_dir = "/var/../etc"\n${small}`,
    /line 1: upload_dir must not have ".." in it/,
  ],
  [
    'an executable outside of the release',
    small.replace('bin/app', '../app'),
    /line 2: executable must be a path inside/,
  ],
  [
    'an absolute executable',
    small.replace('bin/app', '/bin/app'),
    /line 2: executable must be a path inside/,
  ],
  ['an empty executable', small.replace('bin/app', './'), /line 2: executable must be a path inside/],
  ['a duration that is none', `bake = "soon"\n${small}`, /line 1: bake must be a duration/],
  ['a duration that is a flag', `bake = true\n${small}`, /line 1: bake must be a duration/],
  ['an endless duration', `bake = inf\n${small}`, /line 1: bake must be a duration/],
  ['a duration of years', `drain_timeout = "366d"\n${small}`, /line 1: drain_timeout must be at most 365d/],
  [
    'a stop_timeout that systemd takes for ever',
    `stop_timeout = 0\n${small}`,
    /line 1: stop_timeout must be at least 100ms/,
  ],
  [
    'probes without a pause',
    `probe.interval = 0\n${small}`,
    /line 1: probe\.interval must be at least 100ms/,
  ],
  [
    'a deploy_timeout that leaves no time to be healthy',
    `deploy_timeout = "5s"\n${small}`,
    /line 1: deploy_timeout must be longer than min_healthy \(5s\)/,
  ],
  ['a size without sense', `keep_bytes = "10 gigs"\n${small}`, /line 1: keep_bytes must be a size such as/],
  ['too few releases to roll back', `keep_releases = 1\n${small}`, /line 1: keep_releases must be 2 to 1000/],
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
    'a command of one word that was meant as several',
    `start = ["node x"]\n${small}`,
    /in an array each word is an item/,
  ],
  ['a command that is a directory', `start = "/usr/bin/"\n${small}`, /line 1: start must begin with/],
  ['a prefix that would change rights', `start = "+/bin/x"\n${small}`, /line 1: start must begin with/],
  ['an empty command', `stop = " "\n${small}`, /line 1: stop must not be empty/],
  ['an empty list of words', `stop = []\n${small}`, /line 1: stop must not be empty/],
  ['a command that is a number', `stop = 3\n${small}`, /line 1: stop must be a command in quotes/],
  [
    'a control character in a command',
    `start = "{executable} \\u001b"\n${small}`,
    /line 1: start must not have control characters/,
  ],
  [
    'a line break in a word',
    `start = ["{executable}", "a\\nUser=root"]\n${small}`,
    /line 1: start must not have control characters/,
  ],
  [
    'a NUL in a path',
    `upload_dir = "/a\\u0000b"\n${small}`,
    /line 1: upload_dir must not have control characters/,
  ],
  [
    'a variable with a line break',
    `${small}[environment]\nA = "1\\nB=2"\n`,
    /line 8: environment\.A must not have control characters/,
  ],
  ['a variable of dorc', `${small}[environment]\nPORT = "1"\n`, /line 8: environment\.PORT is set by dorc/],
  [
    'a variable without a proper name',
    `${small}[environment]\n1A = "1"\n`,
    /line 8: environment\.1A must have only letters/,
  ],
  [
    'a variable that is an array',
    `${small}[environment]\nA = []\n`,
    /line 8: environment\.A must be text in quotes/,
  ],
  [
    'a number that would be rewritten',
    `${small}[environment]\nA = 1.10\n`,
    /line 8: environment\.A must be text in quotes/,
  ],
  ['a user that is none', `user = "a b"\n${small}`, /line 1: user must be the name of a user/],
  [
    'two kinds of probe',
    `${small}[probe]\nhttp = "/"\ntcp = true\n`,
    /line 7: probe takes one of http, tcp and command/,
  ],
  [
    'a status without http',
    `${small}[probe]\nexpect_status = 200\n`,
    /line 8: probe\.expect_status needs http beside it/,
  ],
  [
    'a host beside tcp',
    `${small}[green.probe]\ntcp = true\nhost = "x"\n`,
    /line 9: green\.probe\.host needs http/,
  ],
  ['a status that is none', `${small}[probe]\nhttp = "/"\nexpect_status = 99\n`, /must be 100 to 599/],
  [
    'a probe path with a space',
    `${small}[probe]\nhttp = "/a b"\n`,
    /line 8: probe\.http must begin with \/ and have no spaces/,
  ],
  ['tcp = false', `${small}[probe]\ntcp = false\n`, /line 8: probe\.tcp must be true, or not be there/],
  ['a wrong type', `auto_switch = "yes"\n${small}`, /line 1: auto_switch must be true or false/],
  ['broken TOML', `${small}[[[`, /line 7: null /],
  ['a key that stands twice', `${small}port = 3`, /line 7: null /],
  [
    'slots in one directory',
    `${small}dir = "/srv/a"\n`.replace('port = 21235', 'port = 21235\ndir = "/srv/a"'),
    /line 8: green\.dir must not overlap with blue\.dir \(\/srv\/a\)/,
  ],
  [
    'a slot inside of the other',
    `${small}dir = "/srv/a/b"\n`.replace('port = 21235', 'port = 21235\ndir = "/srv/a"'),
    /green\.dir must not overlap/,
  ],
  [
    'a slot in the upload directory',
    `${small}dir = "/var/tmp/web/green"\n`,
    /green\.dir must not overlap with upload_dir/,
  ],
  [
    'a slot over a directory of the system',
    `${small}dir = "/usr"\n`,
    /green\.dir must be a directory of its own/,
  ],
  ['a slot below /etc', `${small}dir = "/etc/web"\n`, /green\.dir must be a directory of its own/],
  [
    'an upload directory that everybody shares',
    `upload_dir = "/tmp"\n${small}`,
    /upload_dir must be a directory of its own/,
  ],
  [
    'a slot in the state of dorc',
    `${small}dir = "/var/lib/dorc/intents"\n`,
    /green\.dir must not overlap with directories of dorc/,
  ],
  [
    'an upload directory around that of dorc',
    `upload_dir = "/etc/dorc"\n${small}`,
    /upload_dir must not overlap with directories of dorc/,
  ],
  [
    'a directory that no unit can name',
    `${small}dir = "/srv/a:b"\n`,
    /green\.dir must not have quotes, backslashes or colons/,
  ],
  [
    'a relative writable path',
    `${small}[sandbox]\nwritable_paths = ["x"]\n`,
    /writable_paths\.0 must be an absolute path/,
  ],
] as const) {
  test(`${what} is told with its line`, () => assert.match(complaints(toml), new RegExp(message, 'm')))
}

test('everything that is wrong is told at once, each with its line', () => {
  const toml = `listen = 8080
executabel = "x"
executable = "bin/app"
bake = "x"
[blue]
port = 21235
dir = "/usr"
[green]
port = 21235
start = "'"
`
  assert.throws(() => parse(toml), {
    code: 'DEFINITION_INVALID',
    message:
      '"web.toml" is not a valid definition: line 2: executabel is not a known key; did you mean "executable"?; and 4 more',
    hint: [
      'line 4: bake must be a duration such as "2s", "500ms" or "1min"',
      'line 7: blue.dir must be a directory of its own, not one of the system',
      'line 9: green.port must differ from blue.port (21235)',
      "line 10: green.start cannot be split into words: a ' is not closed",
      'All keys: docs/configuration.md',
    ].join('\n'),
  })
})

test('a file of more than 64 KiB is refused', () => {
  assert.match(complaints(`${small}# ${'x'.repeat(70_000)}`), /larger than 64 KiB/)
})

test('names that mean something to JavaScript are names like others', () => {
  for (const key of ['__proto__', 'constructor', 'toString']) {
    assert.match(complaints(`${key} = 1\n${small}`), /is not a known key/)
    assert.match(complaints(`${small}[green.${key}]\na = 1\n`), /is not a known key/)
  }
  const { environment } = parse(`${small}[environment]\nconstructor = "a"\ntoString = "b"\n`).slots.blue
  assert.deepEqual({ ...environment }, { constructor: 'a', toString: 'b' })
})
