import { readFile } from 'node:fs/promises'
import type { Actions, Caller, StreamOptions } from '../api/actions.ts'
import type {
  AppStatus,
  JournalEvent,
  LogEntry,
  ReleaseSummary,
  RunCommand,
  StatusReport,
  Version,
} from '../api/protocol.ts'
import { type App, SLOTS, type Slot } from '../core/app.ts'
import { describeError, DorcError } from '../core/errors.ts'
import { requestLoad, requestRemoval, requestRun } from '../core/requests.ts'
import type { Journal } from '../state/journal.ts'
import { type AppLoop, refuseStale } from './app-loop.ts'
import type { Author } from './chronicle.ts'
import { closeConnections, listConnections } from './connections.ts'
import { pauseOrResume } from './pause.ts'
import { type DeployDeps, deploy, rollback, switchSlot } from './deploys.ts'
import { Turns } from '../releases/turns.ts'
import { freeSlotPorts } from './held-ports.ts'
import { mergeLogs } from './merge-logs.ts'
import { slotsOf } from './observe.ts'
import { appFile, checkDefinition, checkReport, register } from './register.ts'
import type { Registry, RegistryDeps, SetAside } from './registry.ts'
import { appStatus } from './status.ts'
import { why } from './why.ts'
import { uploadDirProblem } from './upload-dir.ts'
import { verifyReleases } from './verify-releases.ts'

export interface ActionDeps {
  readonly registry: Registry
  readonly deps: RegistryDeps
  readonly journal: Journal
  readonly version: Version
}

/** What the API can be asked for, by the parts of the daemon that do it. */
export function createActions({ registry, deps, journal, version }: ActionDeps): Actions {
  const { adapters, clock } = deps
  const status = (loop: AppLoop): Promise<AppStatus> => statusOf(loop, deps)
  const { chronicle } = deps
  // Two that are checked at the same time would both find a port free.
  const definitions = new Turns()
  const { releases, dataPlane, supervisor } = adapters
  const deployDeps: DeployDeps = { releases, supervisor, dataPlane, chronicle, clock, status }
  const accepted = async (loop: AppLoop): Promise<{ app: AppStatus }> => ({ app: await status(loop) })
  return {
    version: () => version,
    status: () => statusOfAll(registry, status),
    appStatus: (app) => status(registry.loop(app)),
    why: (app, slot) => why(registry.loop(app), slot, adapters),
    releases: (app) => releaseSummaries(registry.loop(app), deps),
    verify: (app, release) => verifyReleases(adapters.releases, registry.loop(app).app, release),
    check: async (request) => ({
      freePorts: freeSlotPorts(registry.loops.map((loop) => loop.app)),
      problems: await checkReport(request, { registry, deps }),
    }),
    register: async (request, caller) =>
      accepted(await definitions.take('all', () => register(request, caller, { registry, deps }))),
    load: (app, caller) =>
      definitions.take('all', async () => {
        const loop = registry.loop(app)
        const toml = await readFile(appFile(deps, app), 'utf8').catch((cause: unknown) => {
          throw new DorcError('PATH_INVALID', `Cannot read the definition of "${app}"`, { cause })
        })
        const definition = await checkDefinition({ name: app, toml }, registry, deps)
        await loop.change(authorOf(caller), (present) => requestLoad(present, definition))
        registry.watchUploads(app)
        return accepted(loop)
      }),
    async remove(app, { purge }, caller) {
      const loop = registry.loop(app)
      await loop.change(authorOf(caller), (present) => requestRemoval(present, purge))
      await forgotten(registry, loop, caller.signal)
      return { app: null }
    },
    async run(app, command, caller) {
      const loop = registry.loop(app)
      await run(loop, command, caller, deps)
      return accepted(loop)
    },
    deploy: (app, command, caller) => deploy(deployDeps, registry.loop(app), command, caller),
    switch: (app, command, caller) => switchSlot(deployDeps, registry.loop(app), command, caller),
    rollback: (app, command, caller) => rollback(deployDeps, registry.loop(app), command, caller),
    connections: (app, slot) => listConnections(adapters.dataPlane, registry.loop(app), slot),
    close: (app, command, caller) =>
      closeConnections({ dataPlane: adapters.dataPlane, chronicle }, registry.loop(app), command, caller),
    logs: (app, slot, options, caller) => logs(registry.loop(app), slot, options, { caller, deps }),
    events: (app, options, caller) => {
      // An app that was removed has a history, and one that never was has not.
      if (app !== null && [...journal.read({ app, lines: 1 })].length === 0) registry.loop(app)
      return events(journal, app, options, caller.signal)
    },
  }
}

const authorOf = ({ peer, ifMatch }: Caller): Author => ({ peer, ifMatch })

async function statusOf(loop: AppLoop, { adapters, clock }: RegistryDeps): Promise<AppStatus> {
  const { name, definition } = loop.app
  const [observation, releases, uploadProblem] = await Promise.all([
    loop.look(),
    adapters.releases.list(name),
    uploadDirProblem(definition.uploadDir),
  ])
  const { app, routeProblem, receipts } = loop
  return appStatus({
    app,
    observation,
    releases,
    uploadProblem,
    dataPlane: observation.route?.via ?? 'relay',
    previewProblem: loop.previewProblem,
    dataPlaneReason: routeProblem ?? observation.route?.reason ?? null,
    held: observation.route?.held ?? 0,
    request: receipts.requestTo(app, app.activeSlot),
    lastReceipt: receipts.last,
    now: clock.now(),
    wall: clock.wall(),
  })
}

/** An app that cannot be looked at is told of among those that are set aside; the others are shown. */
async function statusOfAll(
  registry: Registry,
  status: (loop: AppLoop) => Promise<AppStatus>,
): Promise<StatusReport> {
  const apps: AppStatus[] = []
  const setAside: SetAside[] = [...registry.setAside]
  const { loops } = registry
  const looks = await Promise.allSettled(loops.map(status))
  for (const [index, look] of looks.entries()) {
    if (look.status === 'fulfilled') apps.push(look.value)
    else setAside.push({ name: loops[index]?.app.name ?? '', reason: describeError(look.reason) })
  }
  return { apps, setAside }
}

async function releaseSummaries(loop: AppLoop, { adapters }: RegistryDeps): Promise<ReleaseSummary[]> {
  const { app } = loop
  const releases = await adapters.releases.list(app.name)
  return releases.map(({ number, digest, takenInAt, files, bytes, signed }) => ({
    release: number,
    digest,
    takenInAt,
    files,
    bytes,
    signedBy: signed?.signer ?? null,
    slots: SLOTS.filter((slot) => app.slots[slot]?.release === number),
    bad: app.bad.includes(number),
  }))
}

async function run(
  loop: AppLoop,
  { action, slot }: RunCommand,
  caller: Caller,
  deps: RegistryDeps,
): Promise<void> {
  const slots = slot === null ? SLOTS : [slot]
  switch (action) {
    case 'start':
    case 'stop':
    case 'restart':
      await loop.change(authorOf(caller), (app) => requestRun(app, action, slots))
      return
    case 'pause':
    case 'resume':
      await pauseOrResume(loop, action === 'pause', caller)
      return
    case 'reload':
      await reload(loop, slots, caller, deps)
      return
    default:
      action satisfies never
  }
}

/** Not an intent: it is done once, now, and what runs stays what it is. */
async function reload(
  loop: AppLoop,
  slots: readonly Slot[],
  caller: Caller,
  deps: RegistryDeps,
): Promise<void> {
  const { app } = loop
  refuseStale(app, authorOf(caller))
  const present = slotsOf(app).filter((slot) => slots.includes(slot) && app.slots[slot]?.run === 'running')
  if (present.length === 0)
    throw new DorcError('NOTHING_DEPLOYED', `Cannot reload "${app.name}": nothing runs there`)
  for (const slot of present) refuseWithoutReload(app, slot)
  for (const slot of present) {
    await deps.adapters.supervisor.reload(app.name, slot)
    const event = { type: 'reloaded', message: `Slot ${slot} was reloaded`, deploy: null } as const
    deps.chronicle.record(app.name, event, authorOf(caller))
  }
  loop.wake()
}

function refuseWithoutReload({ name, slots }: App, slot: Slot): void {
  if (slots[slot]?.definition.reload !== null) return
  throw new DorcError('RELOAD_UNDEFINED', `Cannot reload "${name}": ${slot} runs without a reload command`, {
    hint: `Give it one, such as reload = "/bin/sh -c 'kill -HUP $MAINPID'", or: dorc restart ${name}`,
  })
}

function forgotten(registry: Registry, loop: AppLoop, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (registry.has(loop.app.name) && !signal.aborted) return
      end()
      signal.removeEventListener('abort', look)
      resolve()
    }
    const end = loop.onChange(look)
    signal.addEventListener('abort', look)
  })
}

function logs(
  loop: AppLoop,
  slot: Slot | null,
  options: StreamOptions,
  { caller, deps }: { caller: Caller; deps: RegistryDeps },
): AsyncIterable<LogEntry> {
  const { app } = loop
  const slots = slot === null ? slotsOf(app) : [slot]
  const { supervisor } = deps.adapters
  return mergeLogs(
    slots.map((each) => supervisor.logs(app.name, each, { ...options, signal: caller.signal })),
    options,
  )
}

async function* events(
  journal: Journal,
  app: string | null,
  { lines, follow }: StreamOptions,
  signal: AbortSignal,
): AsyncGenerator<JournalEvent> {
  const fresh: JournalEvent[] = []
  let wake: () => void = () => undefined
  const end = journal.subscribe((event) => {
    if (app === null || event.app === app) fresh.push(event)
    wake()
  })
  try {
    signal.addEventListener('abort', () => wake(), { once: true })
    let told = 0
    for (const event of journal.read({ app, lines })) {
      told = event.seq
      yield event
    }
    if (!follow) return
    while (!signal.aborted) {
      const event = fresh.shift()
      if (event === undefined) await new Promise<void>((resolve) => (wake = resolve))
      else if (event.seq > told) yield event
    }
  } finally {
    end()
  }
}
