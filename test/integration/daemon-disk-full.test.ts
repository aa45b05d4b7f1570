import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { DorcError, hasCode } from '../../src/core/errors.ts'
import { DaemonApp } from './daemon-app.ts'
import { answerOn, EmbeddedDorc } from './embedded-dorc.ts'

const isRoot = process.geteuid?.() === 0
const SPACE = '24m'
const NO_SPACE: readonly unknown[] = ['DISK_FULL', 'STATE_NOT_SAVED']

test('on a full disk everything is refused, nothing is half done, and it works again with space', {
  skip: isRoot ? false : 'needs root to mount a small file system',
}, async () => {
  const root = await mkdtemp(join(tmpdir(), 'dorc-full-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SPACE},mode=0755`, 'tmpfs', root])
  try {
    await mkdir(join(root, 'var/lib'), { recursive: true })
    await refuseWhileFull(root)
  } finally {
    execFileSync('umount', [root])
    await rm(root, { recursive: true, force: true })
  }
})

async function refuseWhileFull(root: string): Promise<void> {
  const dorc = await EmbeddedDorc.startIn(root)
  try {
    const app = await DaemonApp.register(dorc, 'web')
    const release = await dorc.release('two', 'two')
    const other = await DaemonApp.prepare(dorc, 'other')
    await other.put(await dorc.release('other', 'other'))
    const otherToml = await other.toml()
    const before = await app.status()
    await fill(join(root, 'ballast'))

    for (const [what, ask] of [
      ['deploy', () => app.deploy(release, { switch: true })],
      ['switch', () => app.switch()],
      ['register', () => dorc.client.register({ name: 'other', toml: otherToml })],
    ] as const) {
      const refused: unknown = await ask().then(
        (outcome) => outcome,
        (error: unknown) => error,
      )
      assert.ok(
        refused instanceof DorcError && NO_SPACE.includes(refused.code),
        `${what}: ${JSON.stringify(refused)}`,
      )
      assert.equal(await answerOn(app.listen), 'web one')
    }
    const { generation, active, slots } = await app.status()
    assert.deepEqual(
      [generation, active, slots.blue.pid, slots.green.pid],
      [before.generation, before.active, before.slots.blue.pid, before.slots.green.pid],
    )
    assert.deepEqual(
      (await dorc.client.status()).apps.map(({ name }) => name),
      ['web'],
    )

    await rm(join(root, 'ballast'))
    const { ok, message } = await app.deploy(release, { switch: true })
    assert.ok(ok, message)
    assert.equal(await answerOn(app.listen), 'two')
    assert.ok((await app.switch()).ok)
    await dorc.client.register({ name: 'other', toml: otherToml })
    await other.until('it is live', ({ deploy }) => deploy?.state === 'live')
  } finally {
    await rm(join(root, 'ballast'), { force: true })
    await dorc.end()
  }
}

/** Until not even a byte more fits. */
async function fill(path: string): Promise<void> {
  for (const size of [1 << 20, 4096, 1]) {
    const piece = Buffer.alloc(size)
    try {
      for (;;) await writeFile(path, piece, { flag: 'a' })
    } catch (error) {
      if (!hasCode(error, 'ENOSPC')) throw error
    }
  }
}
