import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { exitCodeOf } from '../cli/exit-codes.ts'
import { describeError, DorcError, ERROR_CODES, hasCode } from './errors.ts'

const text = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')
const sections = new Map(
  text
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf('\n')), section]),
)

test('docs/errors.md has a section for every code, and for no other', () => {
  assert.deepEqual([...sections.keys()].sort(), [...ERROR_CODES].sort())
})

for (const code of ERROR_CODES) {
  test(`docs/errors.md says of ${code} what it means, why, what to do, and its exit status`, () => {
    const status = exitCodeOf(new DorcError(code, 'Failed'))
    assert.match(
      sections.get(code) ?? '',
      new RegExp(
        `^${code}\\n\\n[A-Z\`].{20,}\\n\\n- \\*\\*Likely cause\\*\\*: .{10,}\\n- \\*\\*What to do\\*\\*: .{10,}\\n- \\*\\*Exit status\\*\\*: ${status}\\n`,
      ),
    )
  })
}

test('an error is told with its whole chain of causes', () => {
  const cause = new Error('Unit entered failed state', { cause: 'exit status 1' })
  const error = new DorcError('UNIT_FAILED', 'Cannot start unit "web-green.service"', { cause })
  assert.equal(
    describeError(error),
    'Cannot start unit "web-green.service": Unit entered failed state: exit status 1',
  )
  assert.equal(error.hint, null)
})

test('an errno is told by its name', () => {
  assert.ok(hasCode(Object.assign(new Error('open'), { code: 'ENOENT' }), 'ENOENT'))
  assert.ok(!hasCode(new Error('ENOENT'), 'ENOENT'))
  assert.ok(!hasCode({ code: 'ENOENT' }, 'ENOENT'))
})
