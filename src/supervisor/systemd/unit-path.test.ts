import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { unitObjectPath, unitOfObjectPath } from './unit-path.ts'

test('the object of a unit has the path that systemd gives it', () => {
  const path = '/org/freedesktop/systemd1/unit/blue_2da_2eb_2eservice'
  assert.equal(unitObjectPath('blue-a.b.service'), path)
  assert.equal(unitObjectPath('0day.service'), '/org/freedesktop/systemd1/unit/_30day_2eservice')
})

test('every unit name comes back from its path', () => {
  const name = fc.string({
    unit: fc.constantFrom('a', 'Z', '0', '-', '.', '_', '@', '\\', ':'),
    minLength: 1,
  })
  fc.assert(fc.property(name, (unit) => assert.equal(unitOfObjectPath(unitObjectPath(unit)), unit)))
})

test('what is no unit has no name', () => {
  assert.equal(unitOfObjectPath('/org/freedesktop/systemd1/job/12'), null)
})
