import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parse, stringify } from 'smol-toml'
import { smallestAppFile } from '../../test/fixtures/smallest-app-file.ts'
import type { Definition } from '../core/definition.ts'
import { parseDuration } from '../core/durations.ts'
import { pathsUnder } from '../platform/paths.ts'
import { parseAppFile } from './app-file.ts'
import { knownKeys } from './schema.ts'

interface Row {
  readonly key: string
  readonly standard: string
  readonly example: string
}

const text = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')
const rows: readonly Row[] = [
  ...text.matchAll(/^\| `(?<key>[a-z_.]+)` \| (?<standard>[^|]+) \| `(?<example>[^|]+)` \| [^|]+ \|$/gm),
].map(({ groups = {} }) => ({
  key: groups['key'] ?? '',
  standard: (groups['standard'] ?? '').replaceAll('`', ''),
  example: groups['example'] ?? '',
}))

const definitionOf = (toml: string): Definition =>
  parseAppFile({ name: 'APP', toml, fileName: 'APP.toml', paths: pathsUnder('/') })

test('docs/configuration.md has a line for every key, and for no other', () => {
  const tables = new Set(['blue', 'green', 'probe', 'sandbox'])
  assert.deepEqual(
    rows.map(({ key }) => key).sort(),
    knownKeys()
      .filter((key) => !tables.has(key))
      .sort(),
  )
})

test('the file that docs/configuration.md shows is one', () => {
  const [, shown = ''] = /```toml\n([^]*?)```/.exec(text) ?? []
  assert.deepEqual(definitionOf(shown).slots.green.start, ['{executable}', '--port', '{port}'])
})

test('every default that docs/configuration.md names is the one that is filled in', () => {
  const { slots, ...app } = definitionOf(smallestAppFile)
  const { blue } = slots
  const filledIn: Readonly<Record<string, number | boolean | string>> = {
    upload_dir: app.uploadDir,
    watch: app.watch,
    settle: app.settleMs,
    auto_switch: app.autoSwitch,
    bake: app.bakeMs,
    drain_timeout: app.drainTimeoutMs,
    deploy_timeout: app.deployTimeoutMs,
    min_healthy: app.minHealthyMs,
    hold_timeout: app.holdTimeoutMs,
    guard_slot_ports: app.guardSlotPorts,
    signatures: app.signatures,
    keep_releases: String(app.keepReleases),
    'blue.dir': blue.workingDir,
    start: blue.start.join(' '),
    stop_timeout: blue.stopTimeoutMs,
    'probe.interval': blue.probe.intervalMs,
    'probe.timeout': blue.probe.timeoutMs,
    'sandbox.home': blue.sandbox.home,
    'sandbox.devices': blue.sandbox.devices,
    'sandbox.off': blue.sandbox.off,
  }
  for (const [key, value] of Object.entries(filledIn)) {
    const standard = rows.find((row) => row.key === key)?.standard ?? ''
    assert.equal(
      typeof value === 'number' ? parseDuration(standard) : standard,
      typeof value === 'number' ? value : String(value),
      key,
    )
  }
})

for (const { key, example } of rows) {
  test(`the example of ${key} in docs/configuration.md can be used as it stands`, () => {
    const { blue, ...added } = parse(example)
    const { blue: smallestBlue, ...smallest } = parse(smallestAppFile)
    const merged = { ...smallest, ...added, blue: { ...Object(smallestBlue), ...Object(blue) } }
    assert.notDeepEqual(definitionOf(stringify(merged)), definitionOf(smallestAppFile))
  })
}
