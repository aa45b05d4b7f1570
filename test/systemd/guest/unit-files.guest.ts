import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import type { SlotProcess } from '../../../src/core/slot-process.ts'
import { slotUnitName, slotUnitText } from '../../../src/core/unit-file.ts'
import type { Supervisor } from '../../../src/supervisor/supervisor.ts'
import { openSystemd, type Systemd } from '../../../src/supervisor/systemd/systemd.ts'
import { createSystemdSupervisor } from '../../../src/supervisor/systemd/systemd-supervisor.ts'
import { stamped } from '../../../src/supervisor/systemd/unit-files.ts'
import { quietLog, slotProcessOf } from './slot-process.ts'

/** What systemd makes of the units that are written; runs inside the machine: see ../supervisor.test.ts. */
const unitDir = '/etc/systemd/system'
const stateDir = '/var/lib/dorc'
const ROUND_TRIPS = 300

let systemd: Systemd
let supervisor: Supervisor

before(async () => {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  systemd = await openSystemd()
  supervisor = await createSystemdSupervisor({ systemd, unitDir, stateDir, log: quietLog })
})

after(() => systemd[Symbol.asyncDispose]())

test(`${ROUND_TRIPS} hostile command lines and variables are taken by systemd as they are`, async () => {
  const nasty = fc.constantFrom(
    '%n',
    '$$',
    '${A}',
    '\\x41',
    '\\n',
    '%%',
    ' ',
    '"',
    "'",
    '\\',
    ';',
    '`',
    '#',
    '😀',
    '\u00a0',
  )
  const word = fc
    .array(fc.oneof(nasty, fc.string({ unit: 'grapheme', maxLength: 4 })), { maxLength: 8 })
    .map((parts) => parts.join(''))
  const text = word.map((one) => one.replaceAll(/\p{C}/gu, ''))
  const cases = fc.sample(
    fc.record({ words: fc.array(text, { maxLength: 5 }), value: text, program: text }),
    ROUND_TRIPS,
  )
  const processes = cases.map(({ words, value, program }, index): SlotProcess => {
    const name = program.replaceAll(/[/"'\\]/g, '_').replace(/^\.*$/, 'x')
    return {
      ...slotProcessOf(`case${index}`),
      startArgv: [`/opt/${name}`, ...words],
      environment: { VALUE: value },
    }
  })
  for (const process of processes) {
    const written = slotUnitText(process, { stateDir, hasRestartSteps: false })
    writeFileSync(`${unitDir}/${slotUnitName(process.app, 'blue')}`, stamped(written))
  }
  await systemd.reload()
  for (const { app, startArgv, environment } of processes) {
    const taken = await systemd.properties(slotUnitName(app, 'blue'))
    assert.deepEqual(taken.argv('ExecStart'), startArgv)
    assert.equal(taken.environment('VALUE'), environment['VALUE'])
    assert.equal(taken.list('ExecStart').length, 1)
    assert.equal(taken.text('User'), `dorc-${app}`)
    rmSync(`${unitDir}/${slotUnitName(app, 'blue')}`)
  }
  await systemd.reload()
})

test('a working directory and writable paths with blanks, percents and letters of the world work', async () => {
  const process: SlotProcess = {
    ...slotProcessOf('paths'),
    workingDir: '/srv/my app %n é',
    sandbox: { ...slotProcessOf('paths').sandbox, writablePaths: ['/srv/a b %t'] },
    startArgv: ['/bin/sh', '-c', 'touch here "/srv/a b %t/there" && exec sleep 1000'],
  }
  for (const path of [process.workingDir, '/srv/a b %t']) mkdirSync(path, { recursive: true, mode: 0o777 })
  await runScript(`chmod 1777 "${process.workingDir}" "/srv/a b %t"`)
  await supervisor.install(process)
  await supervisor.start('paths', 'blue')
  await untilExists('/srv/a b %t/there')
  await untilExists('/srv/my app %n é/here')
  await supervisor.stop('paths', 'blue')
  await supervisor.uninstall('paths', 'blue', { purge: false })
})

test('an app sees its own slot and nothing else of dorc, of homes or of other processes', async () => {
  const { workingDir } = slotProcessOf('blind')
  mkdirSync(workingDir, { recursive: true })
  mkdirSync(`${stateDir}/apps/other/blue`, { recursive: true })
  writeFileSync(`${stateDir}/secret`, 'secret', { mode: 0o644 })
  const look = `ls ${stateDir} ${stateDir}/apps; ls /root /home 2>&1; ls -d /proc/[0-9]* | wc -l; id -un; touch /etc/x`
  await supervisor.install({
    ...slotProcessOf('blind'),
    startArgv: ['/bin/sh', '-c', `${look}; echo end; exec sleep 1000`],
  })
  await supervisor.start('blind', 'blue')
  const lines = await linesUntil('blind', 'end')
  const seen = lines.join('\n')
  assert.doesNotMatch(seen, /secret|other/)
  assert.match(seen, /^blind$/m)
  assert.match(seen, /^dorc-blind$/m)
  assert.match(seen, /touch.*Read-only file system/)
  await supervisor.stop('blind', 'blue')
  await supervisor.uninstall('blind', 'blue', { purge: false })
})

test('both slots of an app share the files in STATE_DIRECTORY', async () => {
  const blue = {
    ...slotProcessOf('shared'),
    startArgv: ['/bin/sh', '-c', 'echo kept > "$STATE_DIRECTORY/file"; exec sleep 1000'],
  }
  const green: SlotProcess = {
    ...blue,
    slot: 'green',
    workingDir: `${stateDir}/apps/shared/green`,
    startArgv: [
      '/bin/sh',
      '-c',
      'until [ -e "$STATE_DIRECTORY/file" ]; do sleep 0.1; done; cat "$STATE_DIRECTORY/file"; exec sleep 1000',
    ],
  }
  for (const process of [blue, green]) {
    mkdirSync(process.workingDir, { recursive: true })
    await supervisor.install(process)
    await supervisor.start(process.app, process.slot)
  }
  await linesUntil('shared', 'kept', 'green')
  for (const slot of ['blue', 'green'] as const) {
    await supervisor.stop('shared', slot)
  }
  const data = '/var/lib/private/dorc-shared/file'
  await supervisor.uninstall('shared', 'blue', { purge: false })
  assert.ok(existsSync(data))
  await supervisor.uninstall('shared', 'green', { purge: true })
  assert.ok(!existsSync(data))
})

test('systemd takes the limits of a slot as they are defined', async () => {
  const resources = { memoryMaxBytes: 64 * 1024 ** 2, cpuQuotaPercent: 50, tasksMax: 20, openFiles: 500 }
  const limited: SlotProcess = { ...slotProcessOf('limited'), resources }
  mkdirSync(limited.workingDir, { recursive: true })
  await supervisor.install(limited)
  const taken = await systemd.properties(slotUnitName('limited', 'blue'))
  assert.deepEqual(
    ['MemoryMax', 'CPUQuotaPerSecUSec', 'TasksMax', 'LimitNOFILE'].map((name) => taken.number(name)),
    [resources.memoryMaxBytes, 500_000, 20, 500],
  )
  await supervisor.uninstall('limited', 'blue', { purge: false })
})

test('a unit that somebody changed is refused, and left as it is', async () => {
  const path = `${unitDir}/blue-edited.service`
  await supervisor.install(slotProcessOf('edited'))
  appendFileSync(path, '# mine\n')
  const edited = readFileSync(path, 'utf8')
  const refused = { code: 'SUPERVISOR_FAILED', message: /was changed by hand/, hint: /systemctl edit/ }
  await assert.rejects(supervisor.install({ ...slotProcessOf('edited'), incarnation: 2 }), refused)
  await assert.rejects(supervisor.uninstall('edited', 'blue', { purge: false }), refused)
  assert.equal(readFileSync(path, 'utf8'), edited)
  rmSync(path)
})

test("a unit of the same name that is not dorc's is refused, and left as it is", async () => {
  const path = `${unitDir}/blue-foreign.service`
  writeFileSync(path, '[Service]\nExecStart=/bin/true\n')
  await assert.rejects(supervisor.install(slotProcessOf('foreign')), {
    code: 'SUPERVISOR_FAILED',
    message: /is not dorc's/,
  })
  assert.equal(readFileSync(path, 'utf8'), '[Service]\nExecStart=/bin/true\n')
  rmSync(path)
})

test('a masked unit is refused with the way out', async () => {
  symlinkSync('/dev/null', `${unitDir}/blue-masked.service`)
  await assert.rejects(supervisor.install(slotProcessOf('masked')), {
    code: 'SUPERVISOR_FAILED',
    message: /is masked/,
    hint: 'Run: systemctl unmask blue-masked.service',
  })
  rmSync(`${unitDir}/blue-masked.service`)
})

test('a drop-in that changes what is run is found out, one that does not is honoured', async () => {
  const dropIn = `${unitDir}/blue-dropped.service.d/override.conf`
  mkdirSync(`${unitDir}/blue-dropped.service.d`)
  writeFileSync(dropIn, '[Service]\nCPUWeight=50\n')
  await supervisor.install(slotProcessOf('dropped'))
  assert.equal((await systemd.properties('blue-dropped.service')).number('CPUWeight'), 50)
  writeFileSync(dropIn, '[Service]\nExecStart=\nExecStart=/bin/sh\n')
  await assert.rejects(supervisor.install({ ...slotProcessOf('dropped'), incarnation: 2 }), {
    code: 'SUPERVISOR_FAILED',
    message: /systemd took ExecStart/,
    hint: new RegExp(dropIn),
  })
  rmSync(`${unitDir}/blue-dropped.service.d`, { recursive: true })
  await supervisor.uninstall('dropped', 'blue', { purge: false })
})

test('a user that does not exist fails the start with the reason', async () => {
  mkdirSync(slotProcessOf('nobodys').workingDir, { recursive: true })
  await supervisor.install({ ...slotProcessOf('nobodys'), user: 'no-such-user' })
  await assert.rejects(supervisor.start('nobodys', 'blue'), (error: Error & { code: string }) => {
    assert.equal(error.code, 'UNIT_FAILED')
    assert.match(String(error.cause), /exit status 217 \(systemd cannot find or make the user\)/)
    return true
  })
  await supervisor.stop('nobodys', 'blue')
  await supervisor.uninstall('nobodys', 'blue', { purge: false })
})

async function linesUntil(app: string, last: string, slot: 'blue' | 'green' = 'blue'): Promise<string[]> {
  const lines: string[] = []
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(), 60_000)
  for await (const { text } of supervisor.logs(app, slot, {
    lines: 100,
    follow: true,
    signal: stop.signal,
  })) {
    lines.push(text)
    if (text === last) break
  }
  clearTimeout(timer)
  assert.equal(lines.at(-1), last, lines.join('\n'))
  return lines
}

async function untilExists(path: string): Promise<void> {
  await runScript(`for i in $(seq 600); do [ -e "${path}" ] && exit 0; sleep 0.1; done; exit 1`)
}

function runScript(script: string): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile('/bin/sh', ['-c', script], (error) => (error === null ? resolve() : reject(error)))
  })
}
