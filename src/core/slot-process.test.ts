import assert from 'node:assert/strict'
import { test } from 'node:test'
import { definition } from '../../test/simulation/definition.ts'
import type { SlotIntent } from './app.ts'
import { slotProbe, slotProcess } from './slot-process.ts'

const start = [
  '{executable}',
  '--port={port}',
  '{slot} of {app}',
  '{dir}/x',
  '{release}',
  '{"json": {unknown}}',
]
const defined = {
  ...definition.slots.green,
  start,
  probe: { kind: 'command', command: ['{dir}/check', '{port}'], intervalMs: 1, timeoutMs: 1 },
} as const
const intent: SlotIntent = { release: 7, run: 'running', incarnation: 12, definition: defined }

test('placeholders are filled in, and other braces stay as they are', () => {
  assert.deepEqual(slotProcess('web', 'green', intent).startArgv, [
    '/srv/green/web',
    '--port=21236',
    'green of web',
    '/srv/green/x',
    '7',
    '{"json": {unknown}}',
  ])
})

test('the command of a probe is filled in as well', () => {
  const probe = slotProbe('web', 'green', intent)
  assert.deepEqual(probe.kind === 'command' && probe.command, ['/srv/green/check', '21236'])
})

test('the environment tells the app who it is, and the definition adds to it', () => {
  const named = { ...intent, definition: { ...defined, environment: { MODE: 'x' } } }
  assert.deepEqual(slotProcess('web', 'green', named).environment, {
    GODEBUG: 'multipathtcp=0',
    PORT: '21236',
    DORC_APP: 'web',
    DORC_SLOT: 'green',
    DORC_RELEASE: '7',
    DORC_DIR: '/srv/green',
    MODE: 'x',
  })
})

test('whoever sets GODEBUG has his own', () => {
  const named = { ...intent, definition: { ...defined, environment: { GODEBUG: 'http2debug=1' } } }
  assert.equal(slotProcess('web', 'green', named).environment['GODEBUG'], 'http2debug=1')
})
