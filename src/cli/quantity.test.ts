import assert from 'node:assert/strict'
import { test } from 'node:test'
import { counted, formatAgo, formatBytes, formatDuration } from './quantity.ts'

test('bytes are told in the largest unit that keeps them above one', () => {
  const told = [0, 1023, 1024, 1_500, 31_457_280, 1_048_570, 5 * 1024 ** 3].map(formatBytes)
  assert.deepEqual(told, ['0 B', '1023 B', '1.0 KB', '1.5 KB', '30 MB', '1.0 MB', '5.0 GB'])
})

test('durations are told in one unit', () => {
  const told = [-5, 8_400, 99_000, 180_000, 7_200_000, 12 * 86_400_000].map(formatDuration)
  assert.deepEqual(told, ['0 s', '8 s', '99 s', '3 min', '2 h', '12 d'])
})

test('a time is told by how long ago it was', () => {
  assert.equal(formatAgo('2026-11-22T10:00:00Z', new Date('2026-11-22T10:03:10Z')), '3 min ago')
})

test('one of a thing is told without the plural', () => {
  assert.deepEqual(
    [counted(0, 'file'), counted(1, 'file'), counted(2, 'file')],
    ['0 files', '1 file', '2 files'],
  )
})
