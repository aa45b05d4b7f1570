import assert from 'node:assert/strict'
import { test } from 'node:test'
import { usersAmong } from './slot-users.ts'

test('users of a slot are told by the oldest known age and by the hosts with the most connections', () => {
  const from = (host: string, ages: readonly (number | null)[]) =>
    ages.map((ageMs) => ({ ageMs, peer: { host, port: 1 } }))
  const connections = [
    ...from('a', [5]),
    ...from('b', [70, null, 3]),
    ...from('c', [1, 2]),
    ...from('d', [9]),
  ]
  assert.deepEqual(usersAmong(connections), {
    oldestMs: 70,
    peers: [
      { host: 'b', connections: 3 },
      { host: 'c', connections: 2 },
      { host: 'a', connections: 1 },
    ],
  })
  assert.deepEqual(usersAmong(from('a', [null])), { oldestMs: null, peers: [{ host: 'a', connections: 1 }] })
  assert.deepEqual(usersAmong([]), { oldestMs: null, peers: [] })
})
