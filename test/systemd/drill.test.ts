import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StatusReport, Version } from '../../src/api/protocol.ts'
import type { DrillReport } from '../../src/cli/drill/report.ts'
import { bootMachine } from './machine.ts'

const DORC = '/opt/dorc/bin/dorc'

test('a drill kills the daemon in the middle, fails nothing, and leaves the active slot as it was', async () => {
  await using machine = await bootMachine({ name: 'drill' })
  const dorc = (...argv: string[]): Promise<string> => machine.must([DORC, ...argv])
  const version = async (): Promise<Version> =>
    JSON.parse(
      await machine.must(['curl', '-s', '--unix-socket', '/run/dorc/dorc.sock', 'http://dorc/v1/version']),
    ) as Version
  const statusOf = async () => (JSON.parse(await dorc('status', 'site', '--json')) as StatusReport).apps[0]
  await dorc('setup')
  await machine.must(['cp', '-r', '/opt/dorc/test/fixtures/foreign/nginx', '/var/tmp/site'])
  const start = '/usr/sbin/nginx -e stderr -p {dir} -c {dir}/{slot}.conf'
  const places = '--listen 8081 --upload-dir /var/tmp/site --blue-port 21335 --green-port 21336'
  await dorc('register', 'site', ...places.split(' '), '--executable', 'blue.conf', '--start', start, '--yes')
  await machine.until('both slots are ready', async () => {
    const slots = (await statusOf())?.slots
    return slots !== undefined && slots.blue.ready && slots.green.ready
  })
  const { pid } = await version()
  const printed = await dorc('drill', 'site', '--switches', '6', '--kill-daemon', '--json')
  const report = JSON.parse(printed) as DrillReport
  const { ok, switches, failed, held, wasDaemonKilled } = report
  assert.deepEqual(
    [ok, switches, failed, held, wasDaemonKilled],
    [true, 6, 0, { opened: 5, kept: 5 }, true],
    printed,
  )
  assert.notEqual((await version()).pid, pid)
  assert.equal((await statusOf())?.active, 'blue')
})
