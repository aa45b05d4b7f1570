import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DorcError } from './errors.ts'
import { checkAppName } from './names.ts'

const good = ['web', 'a', 'my-app', 'app1', 'dwbrite.com', 'a1-b2.c3', 'x'.repeat(48)]

const hostile = [
  '', ' ', '.', '..', '...', '/', '-', '-web', 'web-', '.web', 'web.', 'a--b', 'a..b', 'a.-b', 'a-.b', 'Web', 'WEB', '1web',
  'web app', 'web/app', '../web', '../../etc/passwd', 'web\0', 'web\n', 'web\r\n[Service]', '\x1b[31mweb', 'wéb', 'web\u202e',
  'web@1', 'web%i', 'web%n', '%i', 'web;reboot', 'web|cat', 'web&', 'web$HOME', '$(id)', '`id`', 'web"', "web'", 'web\\', 'web*',
  'web?', 'web[1]', 'web{1}', 'web~', '~root', 'web:8080', 'web=1', 'web,api', 'web+', 'web!', 'web#', 'web_app', 'ｗｅｂ',
  'web\ttab', 'x'.repeat(49), 'web.service ', '\u200bweb', '__proto__', 'con\u0000',
] // biome-ignore format: a table

test('names that are safe in a path, a unit and a user name are accepted', () => {
  for (const name of good) checkAppName(name)
})

test('no hostile name is accepted, and none upsets the terminal in its own error', () => {
  assert.ok(hostile.length >= 50)
  for (const name of hostile) {
    assert.throws(
      () => checkAppName(name),
      (error: unknown) => {
        assert.ok(error instanceof DorcError && error.code === 'NAME_INVALID', name)
        assert.match(error.message, /^[\x20-\x7e]*$/)
        return true
      },
      JSON.stringify(name),
    )
  }
})

test('a name that nearly fits comes back mended', () => {
  assert.throws(() => checkAppName('My App!'), { hint: 'Try: my-app' })
  assert.throws(() => checkAppName('1web'), { hint: 'Try: web' })
})

test('what is wrong with a name is said in particular', () => {
  for (const [name, message] of [
    ['', /it is empty/],
    ['x'.repeat(49), /it has more than 48 characters/],
    ['web app', /not " "$/],
    ['Web', /not "W"$/],
    ['w\u{1f600}', /not "\?"$/],
    ['1web', /it must begin with a letter$/],
    ['web-', /each - and \. must stand between/],
  ] as const) {
    assert.throws(() => checkAppName(name), { code: 'NAME_INVALID', message })
  }
})
