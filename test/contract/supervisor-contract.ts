import assert from 'node:assert/strict'
import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { SlotProcess } from '../../src/core/slot-process.ts'
import type { ObservedUnit, Supervisor } from '../../src/supervisor/supervisor.ts'

/** A supervisor on the same slots as any other made for this test; called twice it stands for a restarted daemon. */
export type MakeSupervisor = (t: TestContext) => Promise<Supervisor>

/** A slot of the app of this test, whose working directory exists and can be entered by whoever runs it. */
export type MakeProcess = (t: TestContext, changes: Partial<SlotProcess>) => Promise<SlotProcess>

/** What every supervisor promises (src/supervisor/supervisor.ts), shown on real processes. */
export function supervisorContract(
  name: string,
  makeSupervisor: MakeSupervisor,
  makeProcess: MakeProcess,
): void {
  const check = (sentence: string, body: (t: TestContext, world: World) => Promise<void>): void => {
    test(`${name}: ${sentence}`, async (t) => {
      const world = new World(await makeSupervisor(t), (changes) => makeProcess(t, changes))
      // Not `t.after`: the makers' own hooks run first, and close what is needed here.
      try {
        await body(t, world)
      } finally {
        await world.end()
      }
    })
  }

  check('an installed slot does not run, and tells its incarnation', async (_t, world) => {
    await world.install({ incarnation: 7 })
    const { state, incarnation, mainPid, pids, invocation } = await world.observe()
    assert.deepEqual(
      { state, incarnation, mainPid, pids, invocation },
      {
        state: 'inactive',
        incarnation: 7,
        mainPid: null,
        pids: [],
        invocation: null,
      },
    )
  })

  check(
    'a started slot runs its command with its arguments and environment as they are',
    async (_t, world) => {
      const argument = `a "b" 'c' $HOME \${HOME} %n %% \\ ; {x} é ☃ -e`
      await world.install({
        startArgv: [
          '/bin/sh',
          '-c',
          'printf "%s|" "$@" "$VALUE"; echo; exec sleep 1000',
          'sh',
          argument,
          '',
          ';',
        ],
        environment: { VALUE: argument },
      })
      await world.start()
      await world.untilLogged(`${argument}||;|${argument}|`)
    },
  )

  check(
    'start resolves with a process that observe knows, and starting again changes nothing',
    async (_t, world) => {
      await world.install({})
      await world.start()
      const first = await world.until('it is active', ({ state }) => state === 'active')
      assert.ok(first.mainPid !== null && first.pids.includes(first.mainPid))
      assert.ok(first.invocation !== null)
      assert.equal(first.restarts, 0)
      assert.equal(first.lastExit, null)
      assert.ok(first.since !== null && !Number.isNaN(Date.parse(first.since)))
      await world.start()
      const second = await world.observe()
      assert.equal(second.mainPid, first.mainPid)
      assert.equal(second.invocation, first.invocation)
    },
  )

  check('the pids are those of all descendants, also of one whose parent died', async (_t, world) => {
    await world.install({
      startArgv: ['/bin/sh', '-c', '(setsid sh -c "sleep 1001 & sleep 1002" &); exec sleep 1000'],
    })
    await world.start()
    await world.until('all four run', ({ pids }) => pids.length === 4)
  })

  check('stop leaves no process of the slot behind, even of those that ignore SIGTERM', async (_t, world) => {
    await world.install({
      startArgv: [
        '/bin/sh',
        '-c',
        'trap "" TERM; (setsid sleep 1001 &); echo ready; while :; do sleep 1; done',
      ],
      stopTimeoutMs: 500,
    })
    await world.start()
    await world.untilLogged('ready')
    const { pids } = await world.until('its child runs', (unit) => unit.pids.length >= 2)
    await world.stop()
    const { state, mainPid, pids: left } = await world.observe()
    assert.deepEqual({ state, mainPid, left }, { state: 'inactive', mainPid: null, left: [] })
    for (const pid of pids) assert.ok(!isAlive(pid), `${pid} still runs`)
    await world.stop()
  })

  check('a process that exits is started again, as a new invocation', async (_t, world) => {
    await world.install({ startArgv: ['/bin/sh', '-c', 'read -r line < /dev/zero & sleep 0.5; exit 3'] })
    await world.start()
    const first = await world.until('it runs', ({ mainPid }) => mainPid !== null)
    await world.until('the exit is seen', ({ lastExit }) => lastExit === 'exit status 3')
    const again = await world.until(
      'it runs again',
      ({ mainPid, invocation }) => mainPid !== null && invocation !== first.invocation,
    )
    assert.ok(again.restarts >= 1)
    assert.equal(again.lastExit, 'exit status 3')
  })

  check('a killed process is started again, and its signal is told', async (_t, world) => {
    await world.install({})
    await world.start()
    const { mainPid } = await world.until('it runs', (unit) => unit.mainPid !== null)
    process.kill(mainPid ?? 0, 'SIGKILL')
    await world.until('the signal is seen', ({ lastExit }) => lastExit === 'signal KILL')
    await world.until('it runs again', (unit) => unit.mainPid !== null && unit.mainPid !== mainPid)
  })

  check('restarts are counted from the last start', async (_t, world) => {
    await world.install({})
    await world.start()
    const { mainPid } = await world.until('it runs', (unit) => unit.mainPid !== null)
    process.kill(mainPid ?? 0, 'SIGKILL')
    await world.until('it is restarted', ({ restarts, state }) => restarts === 1 && state === 'active')
    await world.stop()
    await world.start()
    assert.equal((await world.observe()).restarts, 0)
  })

  check('a program that does not exist fails the start', async (_t, world) => {
    await world.install({ startArgv: ['/nonexistent/program'] })
    await assert.rejects(world.start(), { code: 'UNIT_FAILED' })
  })

  check('a slot that is not installed cannot be started, and can be stopped', async (_t, world) => {
    await world.install({})
    await world.uninstall()
    await assert.rejects(world.start(), { code: 'UNIT_FAILED' })
    await world.stop()
  })

  check('uninstall leaves no trace, and can be repeated', async (_t, world) => {
    await world.install({})
    await world.start()
    await world.stop()
    await world.uninstall()
    const { state, incarnation } = await world.observe()
    assert.deepEqual({ state, incarnation }, { state: 'inactive', incarnation: null })
    await world.uninstall()
  })

  check('a newer incarnation takes the place of a stopped one', async (_t, world) => {
    await world.install({ incarnation: 1, startArgv: ['/bin/sh', '-c', 'echo one; exec sleep 1000'] })
    await world.start()
    await world.untilLogged('one')
    await world.stop()
    await world.install({ incarnation: 2, startArgv: ['/bin/sh', '-c', 'echo two; exec sleep 1000'] })
    assert.equal((await world.observe()).incarnation, 2)
    await world.start()
    await world.untilLogged('two')
  })

  check('the reload command is run with the pid of the main process', async (_t, world) => {
    await world.install({
      startArgv: ['/bin/sh', '-c', 'trap "echo reloaded" HUP; echo ready; while :; do sleep 0.1; done'],
      reloadArgv: ['/bin/sh', '-c', 'kill -HUP "$MAINPID"'],
    })
    await world.start()
    await world.untilLogged('ready')
    await world.reload()
    await world.untilLogged('reloaded')
  })

  check('reload fails without a reload command, and with one that fails', async (_t, world) => {
    await world.install({})
    await world.start()
    await assert.rejects(world.reload(), { code: 'UNIT_FAILED' })
    await world.stop()
    await world.install({ reloadArgv: ['/bin/false'] })
    await world.start()
    await assert.rejects(world.reload(), { code: 'UNIT_FAILED' })
  })

  check('a stop command is run before what is left is ended', async (_t, world) => {
    await world.install({ stopArgv: ['/bin/sh', '-c', 'echo asked to stop'] })
    await world.start()
    await world.stop()
    await world.untilLogged('asked to stop')
  })

  check('another supervisor takes over what runs', async (t, world) => {
    await world.install({ incarnation: 5 })
    await world.start()
    const before = await world.until('it is active', ({ state }) => state === 'active')
    await world.supervisor[Symbol.asyncDispose]()
    world.supervisor = await makeSupervisor(t)
    const { mainPid, invocation, incarnation } = await world.observe()
    assert.deepEqual(
      { mainPid, invocation, incarnation },
      {
        mainPid: before.mainPid,
        invocation: before.invocation,
        incarnation: 5,
      },
    )
    await world.stop()
    assert.deepEqual((await world.observe()).pids, [])
  })

  check('a change of the unit is told', async (_t, world) => {
    await world.install({})
    await world.start()
    const { mainPid } = await world.until('it runs', (unit) => unit.mainPid !== null)
    const told = new Promise<string>((resolve) =>
      world.supervisor.onChange((app, slot) => resolve(`${slot}-${app}`)),
    )
    process.kill(mainPid ?? 0, 'SIGKILL')
    assert.equal(await told, `${world.process.slot}-${world.process.app}`)
  })

  const hooks = (beforeStart: readonly string[]): Partial<SlotProcess> => ({
    hooks: { beforeStart, afterSwitch: null, afterRollback: null },
    environment: { VALUE: 'as the slot has it' },
  })

  check('a hook runs to its end in the directory and with the environment of the slot', async (_t, world) => {
    await world.install(hooks(['/bin/sh', '-c', 'echo "$VALUE" > hook.out; sleep 0.2; pwd >> hook.out']))
    chmodSync(world.process.workingDir, 0o1777)
    await world.supervisor.runHook(world.process, 'beforeStart', 60_000)
    const { workingDir } = world.process
    assert.equal(readFileSync(join(workingDir, 'hook.out'), 'utf8'), `as the slot has it\n${workingDir}\n`)
    await world.supervisor.runHook(world.process, 'afterSwitch', 60_000)
  })

  check('a hook that fails is told with its status and its last line', async (_t, world) => {
    await world.install(hooks(['/bin/sh', '-c', 'echo migrating; echo no database >&2; exit 7']))
    await assert.rejects(world.supervisor.runHook(world.process, 'beforeStart', 60_000), {
      code: 'HOOK_FAILED',
      message: 'The hook before_start failed: exit status 7: no database',
    })
  })

  check('a hook that takes too long is killed with all that it started', async (_t, world) => {
    await world.install(hooks(['/bin/sh', '-c', 'sleep 1000 & echo $! > pid; wait']))
    chmodSync(world.process.workingDir, 0o1777)
    await assert.rejects(world.supervisor.runHook(world.process, 'beforeStart', 1_000), {
      code: 'HOOK_FAILED',
    })
    const child = Number(readFileSync(join(world.process.workingDir, 'pid'), 'utf8'))
    await waitUntil(
      () => Promise.resolve(!isAlive(child)),
      () => 'What the hook started lives on',
    )
  })

  check('logs are the last lines, oldest first', async (_t, world) => {
    await world.install({
      startArgv: ['/bin/sh', '-c', 'for i in 1 2 3 4 5; do echo "line $i"; done; exec sleep 1000'],
    })
    await world.start()
    await world.untilLogged('line 5')
    const lines = await world.logs(3)
    assert.deepEqual(
      lines.map(({ text }) => text),
      ['line 3', 'line 4', 'line 5'],
    )
    assert.ok(lines.every(({ at, slot }) => !Number.isNaN(Date.parse(at)) && slot === world.process.slot))
  })

  check('followed logs bring new lines until they are aborted', async (_t, world) => {
    await world.install({ startArgv: ['/bin/sh', '-c', 'while :; do echo tick; sleep 0.1; done'] })
    await world.start()
    const stop = new AbortController()
    let lines = 0
    const options = { lines: 0, follow: true, signal: stop.signal }
    for await (const { text } of world.supervisor.logs(world.process.app, world.process.slot, options)) {
      assert.equal(text, 'tick')
      lines += 1
      if (lines === 5) stop.abort()
    }
    assert.ok(lines >= 5)
  })
}

const DEADLINE_MS = 60_000

/** One supervisor and one slot of it. */
class World {
  supervisor: Supervisor
  readonly #makeProcess: (changes: Partial<SlotProcess>) => Promise<SlotProcess>
  #process: SlotProcess | null = null

  constructor(supervisor: Supervisor, makeProcess: (changes: Partial<SlotProcess>) => Promise<SlotProcess>) {
    this.supervisor = supervisor
    this.#makeProcess = makeProcess
  }

  get process(): SlotProcess {
    assert.ok(this.#process !== null, 'nothing is installed yet')
    return this.#process
  }

  async install(changes: Partial<SlotProcess>): Promise<void> {
    this.#process = await this.#makeProcess({ startArgv: ['/bin/sleep', '1000'], ...changes })
    await this.supervisor.install(this.#process)
  }

  uninstall = (purge = false): Promise<void> =>
    this.supervisor.uninstall(this.process.app, this.process.slot, { purge })
  start = (): Promise<void> => this.supervisor.start(this.process.app, this.process.slot)
  stop = (): Promise<void> => this.supervisor.stop(this.process.app, this.process.slot)
  reload = (): Promise<void> => this.supervisor.reload(this.process.app, this.process.slot)
  observe = (): Promise<ObservedUnit> => this.supervisor.observe(this.process.app, this.process.slot)

  async logs(lines: number): Promise<{ at: string; slot: string; text: string }[]> {
    const { app, slot } = this.process
    const found = []
    const options = { lines, follow: false, signal: new AbortController().signal }
    for await (const line of this.supervisor.logs(app, slot, options)) found.push(line)
    return found
  }

  async untilLogged(text: string): Promise<void> {
    let texts: string[] = []
    await waitUntil(
      async () => {
        texts = (await this.logs(100)).map((line) => line.text)
        return texts.includes(text)
      },
      () => `No line ${JSON.stringify(text)} in ${JSON.stringify(texts)}`,
    )
  }

  async until(what: string, isSo: (unit: ObservedUnit) => boolean): Promise<ObservedUnit> {
    let unit = await this.observe()
    await waitUntil(
      async () => {
        unit = await this.observe()
        return isSo(unit)
      },
      () => `Gave up waiting until ${what}: ${JSON.stringify(unit)}`,
    )
    return unit
  }

  async end(): Promise<void> {
    if (this.#process !== null) {
      await this.stop()
      await this.uninstall()
    }
    await this.supervisor[Symbol.asyncDispose]()
  }
}

async function waitUntil(isSo: () => Promise<boolean>, complaint: () => string): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!(await isSo())) {
    if (performance.now() > deadline) assert.fail(complaint())
    await pause(50)
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
