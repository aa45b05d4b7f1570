import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { slotUnitText } from '../../src/core/unit-file.ts'
import { DAEMON_UNIT, ownUnits, PLACEHOLDER_TEMPLATE, RELAY_TEMPLATE } from '../../src/setup/units.ts'
import { slotProcessOf } from './guest/slot-process.ts'

/** systemd's own measure, 0 to 10; what it looks at is in systemd-analyze(1), "security". */
const own = ownUnits({ id: 'test', nodePath: '/bin/true', programPath: (program) => `/usr/bin/${program}` })
const options = { stateDir: '/var/lib/dorc', hasRestartSteps: false }

test('an app in the default sandbox is exposed at 1.5 or less', (t) => {
  assert.ok(exposure(t, 'blue-web.service', slotUnitText(slotProcessOf('web'), options)) <= 1.5)
})

test('an app out of the sandbox is exposed at more than that: the measure works', (t) => {
  const { sandbox, ...process } = slotProcessOf('web')
  const text = slotUnitText({ ...process, user: 'root', sandbox: { ...sandbox, off: true } }, options)
  assert.ok(exposure(t, 'blue-web.service', text) > 9)
})

test('the daemon is exposed at 4.0 or less', (t) => {
  assert.ok(exposure(t, DAEMON_UNIT, own[DAEMON_UNIT]) <= 4)
})

test('the relay is exposed at 1.5 or less', (t) => {
  assert.ok(exposure(t, 'dorc-relay@1.service', own[RELAY_TEMPLATE]) <= 1.5)
})

test('the placeholder of public sockets is exposed at 1.5 or less', (t) => {
  assert.ok(exposure(t, 'dorc-listen@web.service', own[PLACEHOLDER_TEMPLATE]) <= 1.5)
})

test('systemd-analyze finds nothing to complain about in any unit', (t) => {
  const directory = mustMakeDirectory(t)
  const units = { ...own, 'blue-web.service': slotUnitText(slotProcessOf('web'), options) }
  const paths = Object.entries(units).map(([name, text]) => {
    const path = join(directory, name.replace('@', '@1'))
    writeFileSync(path, text.replaceAll('/usr/bin/dorc', '/bin/dorc'))
    return path
  })
  const complaints = execFileSync('sh', ['-c', 'systemd-analyze verify --man=no "$@" 2>&1', 'sh', ...paths], {
    encoding: 'utf8',
  })
  assert.equal(complaints, '')
})

function exposure(t: TestContext, name: string, text: string | undefined): number {
  const path = join(mustMakeDirectory(t), name)
  writeFileSync(path, text ?? '')
  const output = execFileSync('systemd-analyze', ['security', '--offline=yes', '--no-pager', path], {
    encoding: 'utf8',
  })
  const [, level = ''] = /Overall exposure level for .*: ([\d.]+)/.exec(output) ?? []
  t.diagnostic(`${name}: ${level}`)
  assert.notEqual(level, '', output)
  return Number(level)
}

function mustMakeDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'dorc-units-'))
  t.after(() => rmSync(directory, { recursive: true }))
  return directory
}
