import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Machine } from './machine.ts'

const NODE = '/opt/dorc/node_modules/.bin/node'

/** Runs a file of tests inside the machine, and reports each of its tests as one of ours. */
export async function runGuestTests(t: TestParent, machine: Machine, file: string): Promise<void> {
  const { status, stdout, stderr } = await machine.run(
    [NODE, '--test', '--test-reporter=tap', `/opt/dorc/test/systemd/guest/${file}`],
    { timeoutMs: 10 * 60_000 },
  )
  const results = parseTap(stdout)
  assert.ok(results.length > 0, `No test ran in the machine (status ${status}):\n${stdout}\n${stderr}`)
  for (const { name, isOk, detail } of results) {
    await t.test(name, () => {
      if (!isOk) assert.fail(detail)
    })
  }
  assert.ok(
    status === 0 || results.some(({ isOk }) => !isOk),
    `${file} ended with ${status}:\n${stdout}\n${stderr}`,
  )
}

type TestParent = Pick<TestContext, 'test'>

interface GuestResult {
  readonly name: string
  readonly isOk: boolean
  readonly detail: string
}

/** Top-level lines of TAP version 13; the YAML that follows each is its detail. */
function parseTap(tap: string): GuestResult[] {
  return tap.split(/^(?=(?:not )?ok \d+ - )/m).flatMap((part) => {
    const [, not, name] = /^(not )?ok \d+ - (.*)$/m.exec(part) ?? []
    if (name === undefined || !/^(not )?ok/.test(part)) return []
    return [{ name, isOk: not === undefined, detail: part }]
  })
}
