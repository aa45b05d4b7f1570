import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatTable, shorten, wrap } from './table.ts'

test('columns are as wide as their widest cell, colours not counted, and lines end without spaces', () => {
  const lines = formatTable(
    [{ title: 'NAME' }, { title: 'N', align: 'right' }, { title: 'X' }],
    [
      ['\u001b[34mblue\u001b[39m', '7', ''],
      ['greener', '12', 'x'],
    ],
  )
  assert.deepEqual(lines, ['NAME      N  X', '\u001b[34mblue\u001b[39m      7', 'greener  12  x'])
})

test('a text is cut at the width and shows that it was', () => {
  assert.equal(shorten('HTTP 200 in 1.2 ms', 10), 'HTTP 200 …')
  assert.equal(shorten('short', 5), 'short')
  assert.equal(shorten('short', 0), '…')
})

test('a long text is broken between words', () => {
  assert.deepEqual(wrap('one two three', 7), ['one two', 'three'])
  assert.deepEqual(wrap('a /very/long/path b', 6), ['a', '/very/long/path', 'b'])
})
