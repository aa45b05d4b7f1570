import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { definition } from '../../test/simulation/definition.ts'
import type { App, DeployPhase } from '../core/app.ts'
import { newApp } from '../core/requests.ts'
import { writeFileAtomic } from './atomic-write.ts'
import { readIntent, writeIntent } from './intent-file.ts'
import { createIntentStore } from './intent-store.ts'

function temporaryDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'dorc-intents-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

const phases: readonly DeployPhase[] = [
  { state: 'draining', until: 1.5 },
  { state: 'preparing', until: 2, isInPlace: true },
  { state: 'ready' },
  { state: 'switching', until: 3 },
  { state: 'baking', until: 4, restartsBefore: 0 },
  { state: 'live' },
  { state: 'failed', code: 'UNIT_FAILED', reason: 'exit status 1' },
  { state: 'rolled-back', code: 'PROBE_FAILED', reason: 'HTTP 500' },
]

function appIn(phase: DeployPhase): App {
  const request = {
    id: 3,
    kind: 'deploy',
    release: 2,
    switchWhenReady: true,
    force: false,
    requestedAt: 'now',
  } as const
  const blue = { release: 1, run: 'running', incarnation: 2, definition: definition.slots.blue } as const
  return {
    ...newApp('web', definition),
    slots: { blue, green: null },
    deploy: { ...request, slot: 'green', ...phase },
    next: { ...request, id: 4 },
    bad: [7],
  }
}

test('an app comes back from disk exactly as it was saved, in every state of a deploy', async (t) => {
  const store = createIntentStore({ dir: temporaryDir(t), bootId: 'boot-1' })
  await store.loadAll()
  for (const phase of phases) {
    const app = appIn(phase)
    await store.save(app)
    assert.deepEqual(await store.loadAll(), { apps: [{ app, sameBoot: true }], corrupt: [] })
  }
})

test('an app that was saved in another boot says so', async (t) => {
  const dir = temporaryDir(t)
  await createIntentStore({ dir, bootId: 'boot-1' }).save(newApp('web', definition))
  const { apps } = await createIntentStore({ dir, bootId: 'boot-2' }).loadAll()
  assert.equal(apps[0]?.sameBoot, false)
})

test('one file that cannot be read is named and left alone, the others are loaded', async (t) => {
  const dir = temporaryDir(t)
  const store = createIntentStore({ dir, bootId: 'boot-1' })
  await store.save(newApp('web', definition))
  for (const [name, text] of [
    ['cut', ''],
    ['future', readFileSync(join(dir, 'web.json'), 'utf8').replace('"schema": 1', '"schema": 9')],
    ['renamed', readFileSync(join(dir, 'web.json'), 'utf8')],
  ] as const) {
    writeFileSync(join(dir, `${name}.json`), text)
  }
  const { apps, corrupt } = await store.loadAll()
  assert.deepEqual(
    apps.map(({ app }) => app.name),
    ['web'],
  )
  assert.deepEqual(
    corrupt.map(({ name }) => name),
    ['cut', 'future', 'renamed'],
  )
  assert.match(corrupt[1]?.reason ?? '', /written by another version of dorc \(schema 9, not 1\)/)
  assert.match(corrupt[2]?.reason ?? '', /it is of an app "web"/)
  assert.equal(readFileSync(join(dir, 'cut.json'), 'utf8'), '')
})

test('no truncation and no changed byte is taken for another intent', () => {
  const app = appIn({ state: 'ready' })
  const text = writeIntent(app, 'boot-1')
  let refused = 0
  const check = (damaged: string): void => {
    const read = readIntent(damaged)
    if (read.ok) assert.deepEqual({ app: read.app, bootId: read.bootId }, { app, bootId: 'boot-1' })
    else refused += 1
  }
  for (let length = 0; length < text.length; length += 1) check(text.slice(0, length))
  for (let at = 0; at < text.length; at += 1) {
    for (const flip of [1, 16, 128]) {
      const changed = String.fromCharCode(text.charCodeAt(at) ^ flip)
      check(text.slice(0, at) + changed + text.slice(at + 1))
    }
  }
  assert.ok(refused > text.length * 2, `${refused} of ${text.length * 4} refused`)
})

test('a crash in the middle of a save leaves the old file, and its rest is swept up', async (t) => {
  const dir = temporaryDir(t)
  const store = createIntentStore({ dir, bootId: 'boot-1' })
  await store.save(newApp('web', definition))
  writeFileSync(join(dir, '.web.json.0123456789ab'), '{"schema": 1, "boo')
  const { apps } = await store.loadAll()
  assert.equal(apps.length, 1)
  assert.deepEqual(readdirSync(dir), ['web.json'])
})

test('a save that fails tells why and leaves no rest', async (t) => {
  const dir = temporaryDir(t)
  const missing = join(dir, 'gone', 'web.json')
  await assert.rejects(writeFileAtomic(missing, 'x', 0o600), { code: 'STATE_NOT_SAVED' })
  assert.deepEqual(readdirSync(dir), [])
})

test('a file gets the mode that was asked for, whatever the umask', async (t) => {
  const path = join(temporaryDir(t), 'web.json')
  const umask = process.umask(0o077)
  t.after(() => process.umask(umask))
  for (const mode of [0o644, 0o600]) {
    await writeFileAtomic(path, 'x', mode)
    assert.equal(statSync(path).mode & 0o777, mode)
  }
})

test('intent files are for nobody else to read', async (t) => {
  const dir = temporaryDir(t)
  await createIntentStore({ dir, bootId: 'boot-1' }).save(newApp('web', definition))
  assert.equal(statSync(join(dir, 'web.json')).mode & 0o777, 0o600)
})

test('a removed app is gone, and may be removed again', async (t) => {
  const store = createIntentStore({ dir: temporaryDir(t), bootId: 'boot-1' })
  await store.save(newApp('web', definition))
  await store.remove('web')
  await store.remove('web')
  assert.deepEqual(await store.loadAll(), { apps: [], corrupt: [] })
})

test('a file that could not be read is never written over', async (t) => {
  const dir = temporaryDir(t)
  writeFileSync(join(dir, 'web.json'), 'what somebody may still mend')
  const store = createIntentStore({ dir, bootId: 'boot-1' })
  await store.loadAll()
  await assert.rejects(store.save(newApp('web', definition)), { code: 'STATE_CORRUPT' })
  assert.equal(readFileSync(join(dir, 'web.json'), 'utf8'), 'what somebody may still mend')
  rmSync(join(dir, 'web.json'))
  await store.loadAll()
  await store.save(newApp('web', definition))
})

test('what lies in the directory and is no intent file is named or left alone', async (t) => {
  const dir = temporaryDir(t)
  mkdirSync(join(dir, 'dir.json'))
  writeFileSync(join(dir, 'binary.json'), Buffer.from([0xff, 0xfe, 0x00]))
  writeFileSync(join(dir, 'list.json'), '[]')
  writeFileSync(join(dir, 'notes.txt'), 'x')
  const { apps, corrupt } = await createIntentStore({ dir, bootId: 'boot-1' }).loadAll()
  assert.deepEqual(apps, [])
  assert.deepEqual(
    corrupt.map(({ name, reason }) => [name, reason.replace(/^".*?" cannot be used: /, '').split(/[:,]/)[0]]),
    [
      ['binary', 'it is not JSON'],
      ['dir', 'EISDIR'],
      ['list', 'it is not an intent file'],
    ],
  )
})

test('a directory that cannot be read is told', async (t) => {
  const path = join(temporaryDir(t), 'file')
  writeFileSync(path, '')
  const store = createIntentStore({ dir: path, bootId: 'boot-1' })
  await assert.rejects(store.loadAll(), {
    code: 'STATE_CORRUPT',
    message: /^Cannot read the state directory/,
  })
})

test('what could not be read again is refused before it is written', async (t) => {
  const dir = temporaryDir(t)
  const store = createIntentStore({ dir, bootId: 'boot-1' })
  const app = newApp('web', definition)
  await store.save(app)
  // JSON knows no Infinity.
  const endless = { ...app, definition: { ...definition, bakeMs: Number.POSITIVE_INFINITY } }
  await assert.rejects(store.save(endless), { code: 'STATE_NOT_SAVED' })
  assert.deepEqual((await store.loadAll()).apps, [{ app, sameBoot: true }])
})

test('texts of every kind come back as they were', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constant('half of a pair: \ud83d'))
  fc.assert(
    fc.property(text, fc.dictionary(text, text), fc.array(text), (reason, environment, start) => {
      fc.pre(!Object.hasOwn(environment, '__proto__'))
      const app = appIn({ state: 'failed', code: 'UNIT_FAILED', reason })
      const blue = { ...definition.slots.blue, environment: { ...environment }, start }
      const changed = { ...app, definition: { ...definition, slots: { ...definition.slots, blue } } }
      assert.deepEqual(readIntent(writeIntent(changed, 'boot-1')), {
        ok: true,
        app: changed,
        bootId: 'boot-1',
      })
    }),
    { numRuns: 500 },
  )
})
