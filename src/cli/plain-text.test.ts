import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plainText } from './plain-text.ts'

test('escape sequences of an app cannot move the cursor or set the title', () => {
  assert.equal(plainText('a\u001b[2J\u001b[31mred\u001b[0m\u001b]0;title\u0007b'), 'aredb')
})

test('control characters of both sets are taken out, a tab becomes spaces', () => {
  assert.equal(plainText('a\tb\r\nc\u0000\u0007\u009b2Jd\u007f'), 'a  bcd')
})

test('marks that turn the direction of text are taken out', () => {
  assert.equal(plainText('user\u202etxt.exe\u202c \u2066x\u2069\u200f\u061c'), 'usertxt.exe x')
})

test('letters of all languages stay', () => {
  assert.equal(plainText('größe 中文 🙂'), 'größe 中文 🙂')
})
