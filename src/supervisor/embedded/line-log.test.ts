import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { LogLine } from '../supervisor.ts'
import { LineLog } from './line-log.ts'
import { readLog } from './read-log.ts'
import type { SlotFiles } from './slot-files.ts'

const AT = '2026-11-22T10:00:00.000Z'

function mustOpen(t: TestContext, fileBytes = 1_000_000, files = 3) {
  const directory = mkdtempSync(join(tmpdir(), 'dorc-log-'))
  const slotFiles: SlotFiles = { app: 'web', slot: 'blue', directory, logPath: join(directory, 'blue.log') }
  const open = (): LineLog => new LineLog({ path: slotFiles.logPath, fileBytes, files, wall: () => AT })
  const log = open()
  t.after(() => rmSync(directory, { recursive: true }))
  return { directory, slotFiles, log, open }
}

async function linesOf(slotFiles: SlotFiles, lines = 1_000): Promise<LogLine[]> {
  const { signal } = new AbortController()
  return await Array.fromAsync(readLog(slotFiles, { lines, follow: false, signal }))
}

const textsOf = async (slotFiles: SlotFiles, lines?: number): Promise<string[]> =>
  (await linesOf(slotFiles, lines)).map(({ text }) => text)

test('each line has its time, however the bytes arrive', async (t) => {
  const { log, slotFiles } = mustOpen(t)
  const stream = log.splitter()
  for (const byte of Buffer.from('grün\n\nzwei\nrest')) stream.write(Buffer.from([byte]))
  assert.deepEqual(await linesOf(slotFiles), [
    { at: AT, slot: 'blue', text: 'grün' },
    { at: AT, slot: 'blue', text: '' },
    { at: AT, slot: 'blue', text: 'zwei' },
  ])
  stream.end()
  assert.deepEqual(await textsOf(slotFiles, 2), ['zwei', 'rest'])
  assert.deepEqual(await textsOf(slotFiles, 0), [])
})

test('a line of many megabytes is kept in pieces, without holding it in memory', async (t) => {
  const { log, slotFiles } = mustOpen(t, 64 * 1024 * 1024)
  const stream = log.splitter()
  for (let count = 0; count < 80; count += 1) stream.write(Buffer.alloc(65_536, 'x'))
  stream.write(Buffer.from('\nafter\n'))
  const texts = await textsOf(slotFiles)
  assert.equal(texts.at(-1), 'after')
  assert.equal(texts.slice(0, -1).join('').length, 80 * 65_536)
  assert.ok(texts.every((text) => text.length <= 48 * 1024))
})

test('bytes that are no text come out as replacement characters', async (t) => {
  const { log, slotFiles } = mustOpen(t)
  log.splitter().write(Buffer.from([0xff, 0x00, 0x1b, 0x41, 0x0a]))
  assert.deepEqual(await textsOf(slotFiles), ['\ufffd\0\u001bA'])
})

test('logs never take more than their files, and are read over all of them', async (t) => {
  const { log, slotFiles, directory } = mustOpen(t, 1_000, 3)
  const stream = log.splitter()
  for (let count = 0; count < 500; count += 1) stream.write(Buffer.from(`line ${count}\n`))
  assert.deepEqual(readdirSync(directory).sort(), ['blue.log', 'blue.log.1', 'blue.log.2'])
  for (const name of readdirSync(directory)) assert.ok(statSync(join(directory, name)).size <= 1_000)
  const texts = await textsOf(slotFiles)
  assert.ok(texts.length > 50)
  assert.deepEqual(
    texts,
    Array.from(texts, (_text, index) => `line ${500 - texts.length + index}`),
  )
  assert.deepEqual(await textsOf(slotFiles, 40), texts.slice(-40))
})

test('a line that a dead writer left half stays a line of its own', async (t) => {
  const { open, slotFiles } = mustOpen(t)
  writeFileSync(slotFiles.logPath, `${AT} one\n${AT} tw`)
  open().splitter().write(Buffer.from('three\n'))
  assert.deepEqual(await textsOf(slotFiles), ['one', 'tw', 'three'])
})

test('what is not as it was written comes out as it stands', async (t) => {
  const { slotFiles } = mustOpen(t)
  writeFileSync(slotFiles.logPath, `no time\n${AT} one\n\0\0\0\nlast`)
  const lines = await linesOf(slotFiles)
  assert.deepEqual(
    lines.map(({ text }) => text),
    ['no time', 'one', '\0\0\0', 'last'],
  )
  assert.equal(lines[2]?.at, AT)
})

test('a log that was never written is empty', async (t) => {
  const { slotFiles } = mustOpen(t)
  rmSync(slotFiles.logPath)
  assert.deepEqual(await textsOf(slotFiles), [])
})

test('following goes on over a rotation and ends with its signal', async (t) => {
  const { slotFiles, log } = mustOpen(t, 200, 3)
  const stream = log.splitter()
  stream.write(Buffer.from('before\n'))
  const abort = new AbortController()
  const seen: string[] = []
  let arrived = Promise.withResolvers<void>()
  const reading = (async () => {
    for await (const { text } of readLog(slotFiles, { lines: 10, follow: true, signal: abort.signal })) {
      seen.push(text)
      arrived.resolve()
      arrived = Promise.withResolvers()
    }
  })()
  const expected = ['before']
  for (let count = 0; count < 12; count += 1) {
    while (seen.length < expected.length) await arrived.promise
    stream.write(Buffer.from(`line ${count}\n`))
    expected.push(`line ${count}`)
  }
  while (seen.length < expected.length) await arrived.promise
  appendFileSync(slotFiles.logPath, `${AT} half`)
  abort.abort()
  await reading
  assert.deepEqual(seen, expected)
})

test('a full disk loses lines and says so, and the writer lives on', {
  skip: process.geteuid?.() !== 0,
}, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'dorc-full-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory])
  t.after(() => {
    log.close()
    execFileSync('umount', [directory])
    rmSync(directory, { recursive: true })
  })
  const slotFiles: SlotFiles = { app: 'web', slot: 'blue', directory, logPath: join(directory, 'blue.log') }
  const log = new LineLog({ path: slotFiles.logPath, fileBytes: 1_000_000, files: 2, wall: () => AT })
  writeFileSync(join(directory, 'ballast'), Buffer.alloc(40_000))
  const stream = log.splitter()
  for (let count = 0; count < 100; count += 1) stream.write(Buffer.from(`${'x'.repeat(400)} ${count}\n`))
  rmSync(join(directory, 'ballast'))
  stream.write(Buffer.from('room again\n'))
  const texts = await textsOf(slotFiles)
  assert.equal(texts.at(-1), 'room again')
  const kept = texts.filter((text) => text.startsWith('x'.repeat(400))).length
  assert.ok(kept > 10 && kept < 100)
  assert.match(texts.at(-2) ?? '', /^\[dorc: \d+ lines could not be written here\]$/)
})
