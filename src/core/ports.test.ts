import assert from 'node:assert/strict'
import { test } from 'node:test'
import { definition } from '../../test/simulation/definition.ts'
import type { Definition, ListenAddress } from './definition.ts'
import { crossCheck, isWithin } from './ports.ts'

interface Wanted {
  readonly listen?: ListenAddress
  readonly ports?: readonly [blue: number, green: number]
  readonly dirs?: readonly [upload: string, blue: string, green: string]
}

/** Shares nothing with the app of the simulation but what is asked for. */
function definitionWith({ listen, ports = [1, 2], dirs = ['/u', '/b', '/g'] }: Wanted): Definition {
  const { blue, green } = definition.slots
  return {
    ...definition,
    listen: listen ?? { host: '0.0.0.0', port: 3 },
    uploadDir: dirs[0],
    slots: {
      blue: { ...blue, port: ports[0], workingDir: dirs[1] },
      green: { ...green, port: ports[1], workingDir: dirs[2] },
    },
  }
}

const others = [{ name: 'web', definition }]

test('apps that share nothing get along', () => {
  crossCheck(definitionWith({}), others)
  crossCheck(definitionWith({}), [])
})

for (const [what, wanted, message] of [
  [
    'listen address',
    { listen: { host: '0.0.0.0', port: 8080 } },
    'listen = "0.0.0.0:8080" is taken by app "web" (listen)',
  ],
  [
    'listen port on one address',
    { listen: { host: '10.0.0.1', port: 8080 } },
    'listen = "10.0.0.1:8080" is taken by app "web" (listen)',
  ],
  [
    'listen port on IPv6',
    { listen: { host: '::', port: 8080 } },
    'listen = "[::]:8080" is taken by app "web" (listen)',
  ],
  [
    'slot port for listening',
    { listen: { host: '10.0.0.1', port: 21_236 } },
    'listen port 21236 is taken by app "web" (green.port)',
  ],
  ['listen port for a slot', { ports: [8080, 2] }, 'blue.port = 8080 is taken by app "web" (listen)'],
  ['slot port', { ports: [1, 21_235] }, 'green.port = 21235 is taken by app "web" (blue.port)'],
] as const) {
  test(`the ${what} of another app is taken`, () => {
    assert.throws(() => crossCheck(definitionWith(wanted), others), { code: 'PORT_TAKEN', message })
  })
}

test('two apps may listen on one port of two addresses', () => {
  const there = definitionWith({
    listen: { host: '10.0.0.1', port: 80 },
    ports: [4, 5],
    dirs: ['/x', '/y', '/z'],
  })
  crossCheck(definitionWith({ listen: { host: '10.0.0.2', port: 80 } }), [{ name: 'api', definition: there }])
})

for (const [what, dirs, message] of [
  [
    'upload directory',
    ['/var/tmp/web', '/b', '/g'],
    'upload_dir = "/var/tmp/web" overlaps with "/var/tmp/web" of app "web"',
  ],
  [
    'directory around a slot of',
    ['/u', '/srv', '/g'],
    'blue.dir = "/srv" overlaps with "/srv/blue" of app "web"',
  ],
  [
    'directory inside a slot of',
    ['/u', '/b', '/srv/green/a'],
    'green.dir = "/srv/green/a" overlaps with "/srv/green" of app "web"',
  ],
] as const) {
  test(`the ${what} another app is refused`, () => {
    assert.throws(() => crossCheck(definitionWith({ dirs }), others), { code: 'PATH_INVALID', message })
  })
}

test('a path lies within a directory by its parts, not by its letters', () => {
  assert.deepEqual(
    [
      ['/a', '/a'],
      ['/a/b', '/a'],
      ['/a', '/'],
      ['/ab', '/a'],
      ['/a', '/a/b'],
    ].map(([path = '', dir = '']) => isWithin(path, dir)),
    [true, true, true, false, false],
  )
})
