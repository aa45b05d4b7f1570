import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ERROR_CODES } from '../core/errors.ts'
import { httpStatus, routes } from './routes.ts'

const text = readFileSync(new URL('../../docs/api.md', import.meta.url), 'utf8')

test('docs/api.md has a section for every call, and says which need root', () => {
  assert.deepEqual(
    [...text.matchAll(/^## ((?:GET|POST|DELETE) .+)$/gm)].map(([, heading = '']) => heading).toSorted(),
    routes
      .map(({ method, path, role }) => `${method} ${path}${role === 'root' ? ' · *root*' : ''}`)
      .toSorted(),
  )
})

test('docs/api.md names the status of every code that has one of its own', () => {
  const told = [...text.matchAll(/^\| (\d{3}) \| (.+) \|$/gm)].flatMap(([, status, codes = '']) =>
    [...codes.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => `${code} ${status}`),
  )
  const own = ERROR_CODES.filter((code) => httpStatus(code) !== 500)
  assert.deepEqual(told.toSorted(), own.map((code) => `${code} ${httpStatus(code)}`).toSorted())
})
