import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ConnectionSummary } from '../../api/protocol.ts'
import { noPaint } from '../paint.ts'
import { formatConnections } from './conns.ts'

const connection: ConnectionSummary = {
  id: 'k1',
  slot: 'blue',
  via: 'steering',
  peer: { host: '10.0.0.2', port: 50_123 },
  ageMs: 200_000,
  bytesIn: 412,
  bytesOut: 1_048_576,
  process: { pid: 4711, command: 'web' },
}
const options = { active: 'blue', most: 20, paint: noPaint } as const

describe('conns', () => {
  test('shows slot after slot what is known of each connection, and counts', () => {
    const other = {
      ...connection,
      slot: 'green',
      via: 'relay',
      ageMs: null,
      process: null,
      peer: { host: 'fd00::2', port: 7 },
    } as const
    assert.equal(
      formatConnections([other, connection], options),
      [
        'SLOT     AGE  PEER               IN     OUT  PROCESS     VIA',
        'blue   3 min  10.0.0.2:50123  412 B  1.0 MB  web (4711)  steering',
        'green      ?  [fd00::2]:7     412 B  1.0 MB  -           relay',
        '2 connections: 1 on blue (active), 1 on green',
      ].join('\n'),
    )
  })

  test('shortens long lists, and says how much is not shown', () => {
    const many = Array.from({ length: 1_000 }, () => connection)
    const lines = formatConnections(many, { ...options, most: 2 }).split('\n')
    assert.deepEqual(
      [lines.length, ...lines.slice(-2)],
      [5, '… 998 more on blue (-n 1000 shows them)', '1000 connections: 1000 on blue (active)'],
    )
  })

  test('says that nobody is there', () => {
    assert.equal(formatConnections([], options), 'Nobody is connected.')
  })
})
