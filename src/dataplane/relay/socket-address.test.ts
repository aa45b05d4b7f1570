import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeSocketAddress, encodeSocketAddress, isSameAddress, unmapped } from './socket-address.ts'

const canonical = [
  ['0.0.0.0', '0.0.0.0'],
  ['127.0.0.1', '127.0.0.1'],
  ['::', '::'],
  ['::1', '::1'],
  ['fe80::1', 'fe80::1'],
  ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
  ['1::', '1::'],
  ['1:0:3:4:5:6:7:8', '1:0:3:4:5:6:7:8'],
  ['::ffff:127.0.0.1', '::ffff:7f00:1'],
] as const

for (const [written, expected] of canonical)
  test(`the address ${written} survives the kernel's form as ${expected}`, () => {
    assert.deepEqual(decodeSocketAddress(encodeSocketAddress({ host: written, port: 4660 })), {
      host: expected,
      port: 4660,
    })
  })

test('an IPv4 client of an IPv6 socket is told by its IPv4 address, all others as they are', () => {
  assert.deepEqual(
    ['::ffff:7f00:1', '::ffff:10.0.0.2', '::1', 'fd00::ffff:7f00:1', '10.0.0.2'].map(unmapped),
    ['127.0.0.1', '10.0.0.2', '::1', 'fd00::ffff:7f00:1', '10.0.0.2'],
  )
})

test('two spellings of one address are the same, another port is not', () => {
  assert.equal(isSameAddress({ host: '::1', port: 1 }, { host: '0:0:0:0:0:0:0:1', port: 1 }), true)
  assert.equal(isSameAddress({ host: '::1', port: 1 }, { host: '::1', port: 2 }), false)
  assert.equal(isSameAddress({ host: '0.0.0.0', port: 1 }, { host: '::', port: 1 }), false)
})
