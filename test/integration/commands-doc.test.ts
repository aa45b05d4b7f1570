import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { COMMANDS_DOCUMENT, commandsDocument } from '../../scripts/commands-doc.ts'

test('docs/commands.md says what the commands say of themselves', () => {
  assert.equal(
    readFileSync(COMMANDS_DOCUMENT, 'utf8'),
    commandsDocument(),
    'docs/commands.md is out of date. Run: node_modules/.bin/node scripts/commands-doc.ts',
  )
})
