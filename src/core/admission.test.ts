import assert from 'node:assert/strict'
import { test } from 'node:test'
import { definition } from '../../test/simulation/definition.ts'
import { refuseUnfit, type Room } from './admission.ts'
import { newApp } from './requests.ts'

const app = newApp('web', definition)

const ample: Room = {
  slot: 'green',
  release: { number: 4, bytes: 50e6, files: 100 },
  memoryOfActive: 300e6,
  memoryAvailable: 2e9,
  disk: { path: '/srv', bytes: 10e9, files: 1e6 },
  listener: { state: 'none' },
}

test('a release that fits is admitted, also to the last byte and while nothing is known of memory', () => {
  refuseUnfit(app, ample)
  refuseUnfit(app, { ...ample, memoryAvailable: 300e6, disk: { path: '/srv', bytes: 50e6, files: 100 } })
  refuseUnfit(app, { ...ample, memoryOfActive: null, memoryAvailable: 0 })
})

const refusals: readonly (readonly [string, Partial<Room>, RegExp])[] = [
  ['memory', { memoryAvailable: 200e6 }, /the active slot uses 300 MB of memory, and 200 MB are available/],
  [
    'disk',
    { disk: { path: '/srv', bytes: 20e6, files: 1e6 } },
    /it needs 50\.0 MB in "\/srv", and 20\.0 MB are free/,
  ],
  [
    'inodes',
    { disk: { path: '/srv', bytes: 10e9, files: 99 } },
    /it has 100 files, and "\/srv" has room for 99/,
  ],
  [
    'a port that somebody holds',
    { listener: { state: 'foreign', detail: 'port 21236 is held by pid 4711 (nginx, user www-data)' } },
    /will not fit: port 21236 is held by pid 4711/,
  ],
]
for (const [what, change, message] of refusals) {
  test(`without ${what} a release is refused, with the numbers`, () => {
    assert.throws(() => refuseUnfit(app, { ...ample, ...change }), { code: 'NOT_ADMITTED', message })
  })
}

test('all reasons are told at once', () => {
  const room = { ...ample, memoryAvailable: 0, disk: { path: '/srv', bytes: 0, files: 0 } }
  assert.throws(() => refuseUnfit(app, room), { message: /memory.*; it needs.*; it has 100 files/ })
})
