import type { AppStatus, DeployStatus, SlotStatus } from '../api/protocol.ts'
import type { App, Deploy, MonotonicMs, Observed, Slot } from '../core/app.ts'
import { formatListen, type Sandbox } from '../core/definition.ts'
import { isPassing } from '../core/health.ts'
import { nextStep } from '../core/next-step.ts'
import type { Release } from '../releases/release-store.ts'
import type { Observation } from './observe.ts'

export interface StatusInput {
  readonly app: App
  readonly observation: Observation
  readonly releases: readonly Release[]
  readonly dataPlane: AppStatus['dataPlane']
  readonly dataPlaneReason: string | null
  readonly previewProblem: string | null
  readonly held: number
  readonly uploadProblem: string | null
  readonly request: AppStatus['request']
  readonly lastReceipt: AppStatus['lastReceipt']
  readonly now: MonotonicMs
  /** ISO time of `now`. */
  readonly wall: string
}

/** What the API tells of an app. Pure. */
export function appStatus(input: StatusInput): AppStatus {
  const { app, observation } = input
  return {
    name: app.name,
    listen: formatListen(app.definition.listen),
    preview: app.definition.preview === null ? null : formatListen(app.definition.preview),
    previewProblem: input.previewProblem,
    uploadDir: app.definition.uploadDir,
    uploadProblem: input.uploadProblem,
    active: app.activeSlot,
    generation: app.generation,
    paused: app.paused,
    held: input.held,
    dataPlane: input.dataPlane,
    dataPlaneReason: input.dataPlaneReason,
    slots: { blue: slotStatus(input, 'blue'), green: slotStatus(input, 'green') },
    deploy: app.deploy === null ? null : deployStatus(app.deploy, input),
    request: input.request,
    lastReceipt: input.lastReceipt,
    nextStep: nextStep(app, observation.observed),
  }
}

function slotStatus({ app, observation, releases }: StatusInput, slot: Slot): SlotStatus {
  const intent = app.slots[slot]
  const unit = observation.units[slot]
  const observed = observation.observed.slots[slot]
  return {
    unit: unit.unit,
    state: slotState(app, slot, observation.observed),
    ready: isPassing(observed, intent),
    release: intent?.release ?? null,
    digest: releases.find(({ number }) => number === intent?.release)?.digest ?? null,
    port: intent?.definition.port ?? app.definition.slots[slot].port,
    pid: unit.mainPid,
    since: unit.since,
    restarts: unit.restarts,
    connections: observed.connections,
    memoryBytes: unit.memoryBytes,
    lastProbe: observation.probes[slot],
    sandboxExceptions:
      intent === null ? [] : sandboxExceptions(intent.definition.sandbox, intent.definition.user),
  }
}

export function slotState(app: App, slot: Slot, observed: Observed): SlotStatus['state'] {
  const intent = app.slots[slot]
  const { unit, installed, problem } = observed.slots[slot]
  if (intent === null) return 'empty'
  if (problem !== null || unit === 'failed') return 'failed'
  if (intent.run === 'stopped') return isFailedDeploy(app.deploy, slot) ? 'failed' : 'stopped'
  if (installed !== intent.incarnation || unit !== 'active') return 'starting'
  const { health } = observed.slots[slot]
  const isFirstStart = app.deploy?.slot === slot && app.deploy.state === 'preparing'
  return health.state === 'unknown' || (health.state === 'failing' && isFirstStart) ? 'starting' : 'running'
}

function isFailedDeploy(deploy: Deploy | null, slot: Slot): boolean {
  return deploy?.slot === slot && deploy.state === 'failed' && deploy.code !== 'SUPERSEDED'
}

function sandboxExceptions(sandbox: Sandbox, user: string | null): string[] {
  return [
    ...(sandbox.off ? ['sandbox.off'] : []),
    ...(sandbox.home ? ['sandbox.home'] : []),
    ...(sandbox.devices ? ['sandbox.devices'] : []),
    ...(sandbox.writablePaths.length > 0 ? ['sandbox.writable_paths'] : []),
    ...(user === null ? [] : [`user = ${user}`]),
  ]
}

export function deployStatus(deploy: Deploy, { now, wall }: Pick<StatusInput, 'now' | 'wall'>): DeployStatus {
  const { id, kind, release, slot, state, requestedAt } = deploy
  const leftMs = 'until' in deploy ? deploy.until - now : null
  return {
    id,
    kind,
    release,
    slot,
    state,
    reason: 'reason' in deploy ? deploy.reason : null,
    code: 'code' in deploy ? deploy.code : null,
    startedAt: requestedAt,
    deadline: leftMs === null ? null : new Date(Date.parse(wall) + leftMs).toISOString(),
  }
}
