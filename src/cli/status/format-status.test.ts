import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { AppStatus, SlotStatus } from '../../api/protocol.ts'
import { noPaint, paintFor } from '../paint.ts'
import { widthOf } from '../table.ts'
import { formatApp, formatStatus } from './format-status.ts'

const now = new Date('2026-11-22T10:03:00Z')
const at80 = { paint: noPaint, columns: 80, now }

const running: SlotStatus = {
  unit: 'blue-web.service',
  state: 'running',
  ready: true,
  release: 3,
  digest: 'sha256:abc',
  port: 21_235,
  pid: 4711,
  since: '2026-11-22T10:00:00Z',
  restarts: 0,
  connections: 12,
  memoryBytes: 31_457_280,
  lastProbe: { ok: true, detail: 'HTTP 200 in 1.2 ms' },
  sandboxExceptions: [],
}

const empty: SlotStatus = {
  ...running,
  unit: 'green-web.service',
  state: 'empty',
  ready: false,
  release: null,
  digest: null,
  port: 21_236,
  pid: null,
  since: null,
  connections: 0,
  memoryBytes: null,
  lastProbe: null,
}

const web: AppStatus = {
  name: 'web',
  listen: '0.0.0.0:8080',
  preview: null,
  previewProblem: null,
  uploadDir: '/var/tmp/web',
  uploadProblem: null,
  active: 'blue',
  generation: 12,
  paused: false,
  held: 0,
  dataPlane: 'relay',
  dataPlaneReason: null,
  slots: { blue: running, green: empty },
  deploy: null,
  request: { path: '/', host: null },
  lastReceipt: null,
  nextStep: null,
}

describe('status', () => {
  test('shows one row for each slot, the active one marked', () => {
    assert.equal(
      formatApp(web, at80),
      [
        'web  on 0.0.0.0:8080  relay',
        '     SLOT   REL  STATE    SINCE       PORT  CONNS  MEMORY  LAST PROBE',
        '  ●  blue     3  running  3 min ago  21235     12   30 MB  HTTP 200 in 1.2 ms',
        '  ○  green    -  empty    -          21236      0       -  -',
      ].join('\n'),
    )
  })

  test('tells the deploy with the time that is left, and what to do next', () => {
    const deploy = {
      id: 7,
      kind: 'deploy',
      release: 4,
      slot: 'green',
      state: 'preparing',
      reason: null,
      code: null,
      startedAt: '2026-11-22T10:02:52Z',
      deadline: '2026-11-22T10:03:52Z',
    } as const
    const text = formatApp({ ...web, deploy, nextStep: 'Wait for it' }, at80)
    assert.match(text, /^ {2}deploy {2}release 4 → green: starting and probing, 52 s left$/m)
    assert.match(text, /^ {2}next {4}Wait for it$/m)
  })

  test('tells why the last deploy failed, with control characters taken out', () => {
    const deploy = {
      id: 7,
      kind: 'deploy',
      release: 4,
      slot: 'green',
      state: 'failed',
      reason: 'The process keeps ending\u001b[2J (exit status 1)',
      code: 'UNIT_FAILED',
      startedAt: '2026-11-22T10:02:00Z',
      deadline: null,
    } as const
    assert.match(
      formatApp({ ...web, deploy }, at80),
      /release 4 → green: failed, 60 s ago: The process keeps ending \(exit\n {10}status 1\) \(UNIT_FAILED\)$/m,
    )
  })

  test('no line is wider than the terminal, however long a probe talks', () => {
    const chatty = { ...running, lastProbe: { ok: false, detail: 'connection refused '.repeat(20) } }
    for (const columns of [40, 60, 72, 80, 120]) {
      const nextStep = 'Look at its output: dorc logs web --slot green'
      const text = formatApp(
        { ...web, nextStep, slots: { blue: chatty, green: chatty } },
        { ...at80, columns },
      )
      for (const line of text.split('\n')) assert.ok(widthOf(line) <= columns, `${columns}: ${line}`)
    }
  })

  test('a narrow terminal gets the slots below each other with all that is known', () => {
    assert.equal(
      formatApp(web, { ...at80, columns: 50 }),
      [
        'web  on 0.0.0.0:8080  relay',
        '  ● blue   release 3, running, 3 min ago',
        '           12 connections, 30 MB',
        '           HTTP 200 in 1.2 ms',
        '  ○ green  empty',
      ].join('\n'),
    )
  })

  test('a process that runs without being ready is not called running', () => {
    const text = formatApp({ ...web, slots: { blue: { ...running, ready: false }, green: empty } }, at80)
    assert.match(text, /not ready/)
    assert.doesNotMatch(text, /running/)
  })

  test('restarts and ways out of the sandbox are named', () => {
    const odd = { ...running, restarts: 2, sandboxExceptions: ['sandbox.home'] }
    const text = formatApp({ ...web, slots: { blue: odd, green: empty } }, at80)
    assert.match(text, /blue {4}restarted 2 times by itself/)
    assert.match(text, /blue {4}outside the sandbox: sandbox\.home/)
  })

  test('no apps yet: says how to make one', () => {
    assert.match(formatStatus({ apps: [], setAside: [] }, at80), /dorc register/)
  })

  test('apps that were set aside are named with the reason', () => {
    const report = { apps: [web], setAside: [{ name: 'old', reason: 'Its state is not JSON' }] }
    assert.match(
      formatStatus(report, at80),
      /Set aside \(1 app\), the others run:\n {2}old {2}Its state is not JSON/,
    )
  })

  test('several apps are separated by an empty line', () => {
    const text = formatStatus({ apps: [web, { ...web, name: 'api' }], setAside: [] }, at80)
    assert.match(text, /\n\napi {2}on /)
  })
})

test('nothing is coloured where there is no terminal', () => {
  const { paint, columns } = { paint: paintFor(process.stdout), columns: 80 }
  if (!process.stdout.isTTY && process.env['FORCE_COLOR'] === undefined) {
    assert.equal(formatApp(web, { paint, columns, now }), formatApp(web, at80))
  }
})
