import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { CLI_PROGRAM } from '../cli-program.ts'
import {
  mustOpenBed,
  mustRefuse,
  openStore,
  type ReleaseBed,
  takeIn,
  writeFile,
  writeRelease,
} from './release-bed.ts'

const hasSshKeygen = spawnSync('ssh-keygen', ['-?']).error === undefined

/** By app, serial and what was uploaded: the command takes half a second. */
const texts = new Map<string, Buffer>()

interface SignedBed extends ReleaseBed {
  /** Makes the manifest by the CLI and signs it by ssh-keygen. */
  sign(options?: { app?: string; serial?: number; key?: string; namespace?: string }): void
}

async function mustOpenSignedBed(t: TestContext): Promise<SignedBed> {
  const bed = await mustOpenBed(t)
  for (const key of ['ci', 'stranger'])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', key, '-f', join(bed.root, key)])
  mkdirSync(join(bed.root, 'signers'))
  const allowed = `ci@example.org namespaces="dorc-release" ${readFileSync(join(bed.root, 'ci.pub'), 'utf8')}`
  for (const app of ['web', 'api']) writeFileSync(join(bed.root, `signers/${app}.allowed_signers`), allowed)
  const sign: SignedBed['sign'] = ({
    app = 'web',
    serial = 7,
    key = 'ci',
    namespace = 'dorc-release',
  } = {}) => {
    const path = join(bed.upload, '.dorc-manifest')
    const content = `${app} ${serial} ${readFileSync(join(bed.upload, 'etc/app.conf'), 'utf8')}`
    const text =
      texts.get(content) ??
      execFileSync(process.execPath, [CLI_PROGRAM, 'manifest', app, bed.upload, '--serial', String(serial)])
    texts.set(content, text)
    writeFileSync(path, text)
    rmSync(`${path}.sig`, { force: true })
    execFileSync('ssh-keygen', ['-q', '-Y', 'sign', '-n', namespace, '-f', join(bed.root, key), path], {
      stdio: 'pipe',
    })
  }
  writeRelease(bed.upload, 'one')
  return { ...bed, sign }
}

const require = { signatures: 'require' } as const

describe('an upload that has to be signed', { skip: !hasSshKeygen && 'needs ssh-keygen' }, () => {
  test('is taken in when an allowed signer signed it, also a second time, and says who', async (t) => {
    const bed = await mustOpenSignedBed(t)
    bed.sign()
    assert.deepEqual((await takeIn(bed, require)).release.signed, { signer: 'ci@example.org', serial: 7 })
    assert.equal((await takeIn(bed, require)).isNew, false)
    assert.equal((await bed.store.list('web'))[0]?.signed?.signer, 'ci@example.org')
  })

  const refused: readonly { name: string; spoil: (bed: SignedBed) => void; says: RegExp }[] = [
    { name: 'without a signature', spoil: () => undefined, says: /no file "\.dorc-manifest"/ },
    {
      name: 'with a changed file',
      spoil: ({ upload }) => appendFileSync(join(upload, 'etc/app.conf'), 'x'),
      says: /of other files/,
    },
    {
      name: 'with a file more',
      spoil: ({ upload }) => writeFile(join(upload, 'etc/more'), 'x'),
      says: /of other files/,
    },
    {
      name: 'with a file less',
      spoil: ({ upload }) => rmSync(join(upload, 'etc/app.conf')),
      says: /of other files/,
    },
    { name: 'for another app', spoil: (bed) => bed.sign({ app: 'api' }), says: /of another app/ },
    {
      name: 'by a stranger',
      spoil: (bed) => bed.sign({ key: 'stranger' }),
      says: /no allowed signer|not of an allowed signer/,
    },
    {
      name: 'for another purpose',
      spoil: (bed) => bed.sign({ namespace: 'git' }),
      says: /not of an allowed signer|no allowed signer/,
    },
    {
      name: 'with the signature of another text',
      spoil: (bed) => {
        const sig = join(bed.upload, '.dorc-manifest.sig')
        copyFileSync(sig, join(bed.root, 'old.sig'))
        bed.sign({ serial: 8 })
        copyFileSync(join(bed.root, 'old.sig'), sig)
      },
      says: /not of an allowed signer, or not for this content/,
    },
    {
      name: 'with a signature that is none',
      spoil: ({ upload }) => writeFileSync(join(upload, '.dorc-manifest.sig'), 'x'.repeat(100)),
      says: /not signed as it must be/,
    },
    {
      name: 'while nobody is allowed to sign',
      spoil: ({ root }) => rmSync(join(root, 'signers/web.allowed_signers')),
      says: /no ".*web\.allowed_signers"/,
    },
  ]
  for (const { name, spoil, says } of refused) {
    test(`is refused ${name}; told of only, where that is the policy`, async (t) => {
      const bed = await mustOpenSignedBed(t)
      if (name !== 'without a signature') bed.sign()
      spoil(bed)
      const error = await mustRefuse(takeIn(bed, require), 'SIGNATURE_INVALID')
      assert.match(error.message, says)
      assert.deepEqual(await bed.store.list('web'), [])
      const { release, warning } = await takeIn(bed, { signatures: 'warn' })
      assert.equal(release.signed, null)
      assert.match(warning ?? '', says)
    })
  }

  test('is not taken in again when a newer one was, even after that is gone and the store was opened anew', async (t) => {
    const bed = await mustOpenSignedBed(t)
    bed.sign({ serial: 7 })
    await takeIn(bed, require)
    const old = join(bed.root, 'old')
    execFileSync('cp', ['-a', bed.upload, old])
    writeRelease(bed.upload, 'two')
    bed.sign({ serial: 8 })
    await takeIn(bed, require)

    const replay = { ...bed, upload: old }
    assert.match(
      (await mustRefuse(takeIn(replay, require), 'SIGNATURE_INVALID')).message,
      /serial 7 is not above 8/,
    )
    for (const number of [1, 2]) await bed.store.remove('web', number)
    const reopened = { ...replay, store: await openStore(bed.releases, bed.slots) }
    await mustRefuse(takeIn(reopened, require), 'SIGNATURE_INVALID')

    writeRelease(bed.upload, 'three')
    bed.sign({ serial: 8 })
    assert.match(
      (await mustRefuse(takeIn(bed, require), 'SIGNATURE_INVALID')).message,
      /serial 8 is not above 8/,
    )
    bed.sign({ serial: 9 })
    assert.equal((await takeIn(bed, require)).release.number, 3)
  })
})
