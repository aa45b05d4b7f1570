import type { Caller } from '../api/actions.ts'
import type {
  AppStatus,
  DeployCommand,
  ProgressLine,
  RollbackCommand,
  SwitchCommand,
} from '../api/protocol.ts'
import { type App, otherSlot } from '../core/app.ts'
import { describeError, DorcError } from '../core/errors.ts'
import { requestDeploy, requestRollback, requestSwitch } from '../core/requests.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import type { Clock } from '../platform/clock.ts'
import type { Release, ReleaseStore } from '../releases/release-store.ts'
import type { Supervisor } from '../supervisor/supervisor.ts'
import { refuseIfNoRoom, refuseUnitUnfit } from './admission.ts'
import { type AppLoop, refuseStale } from './app-loop.ts'
import type { Author, Chronicle } from './chronicle.ts'
import { follow } from './follow.ts'
import { SlotUsers } from './slot-users.ts'
import { isInPlace, isShown, type Source, takeIn } from './take-in.ts'

export interface DeployDeps {
  readonly releases: ReleaseStore
  readonly supervisor: Supervisor
  readonly chronicle: Chronicle
  readonly clock: Clock
  readonly dataPlane: DataPlane
  readonly status: (loop: AppLoop) => Promise<AppStatus>
}

/** `dorc deploy`: takes the release in, asks for its deploy, and tells how it goes. */
export async function* deploy(
  deps: DeployDeps,
  loop: AppLoop,
  command: DeployCommand,
  caller: Caller,
): AsyncGenerator<ProgressLine> {
  refuseStale(loop.app, { peer: caller.peer, ifMatch: caller.ifMatch })
  const progress = new TakeInProgress()
  // Not bound to the caller: a CLI that is interrupted stops following, what it began goes on.
  const beginning = begin(deps, loop, { command, caller, progress }).finally(() => progress.end())
  beginning.catch((error: unknown) => {
    const message = `Nothing was deployed: ${describeError(error)}`
    deps.chronicle.record(loop.app.name, { type: 'upload-refused', message, deploy: null }, null)
  })
  yield* progress.lines()
  const { release, id } = await beginning
  yield { kind: 'taken-in', release: release.number, files: release.files, bytes: release.bytes }
  if (id === null && isShown(loop.app, release.number)) {
    const message = `Nothing to do: release ${release.number} with the same content is live in ${loop.app.activeSlot} already`
    yield { kind: 'done', ok: true, message, error: null, slot: null, app: await deps.status(loop) }
  } else if (id === null && command.switch) {
    yield* switchSlot(deps, loop, { to: null, force: false }, { ...caller, ifMatch: null })
  } else if (id === null || command.wait === 'no') {
    const slot = otherSlot(loop.app.activeSlot)
    const message =
      id === null
        ? `Nothing to do: release ${release.number} with the same content is in ${slot} already`
        : `Deploy ${id} of release ${release.number} is under way`
    yield { kind: 'done', ok: true, message, error: null, slot: null, app: await deps.status(loop) }
  } else {
    yield* followDeploy(deps, loop, id, { wait: command.wait, signal: caller.signal })
  }
}

/** `id` null: a slot has that very release, and no deploy is needed. */
interface Begun {
  readonly release: Release
  readonly id: number | null
}

async function begin(
  { releases, supervisor, chronicle, clock }: DeployDeps,
  loop: AppLoop,
  { command, caller, progress }: { command: DeployCommand; caller: Caller; progress: TakeInProgress },
): Promise<Begun> {
  const { peer } = caller
  const source: Source =
    command.path === null
      ? { path: loop.app.definition.uploadDir, uploader: null }
      : { path: command.path, uploader: { uid: peer.uid, gid: peer.gid } }
  const { release } = await takeIn({ releases, chronicle }, loop.app, source, {
    onProgress: (files, bytes) => progress.report(files, bytes),
    signal: new AbortController().signal,
  })
  const willSwitch = command.switch || loop.app.definition.autoSwitch
  if (willSwitch && isShown(loop.app, release.number) && !command.force) return { release, id: null }
  if (isInPlace(loop.app, release.number) && !command.force) {
    return { release, id: comingDeploy(loop.app, release.number) }
  }
  // The generation was checked before the copy; a copy may take minutes.
  if (!command.force) await refuseUnitUnfit(loop.app, release, supervisor)
  const changed = await loop.change({ peer, ifMatch: null }, (app, observation) => {
    if (!command.force) refuseIfNoRoom(app, observation, release)
    return requestDeploy(app, {
      kind: 'deploy',
      release: release.number,
      switchWhenReady: command.switch || app.definition.autoSwitch,
      force: command.force,
      requestedAt: clock.wall(),
    })
  })
  return { release, id: changed.lastDeployId }
}

/** The id of the deploy that is bringing that release; null if none is. */
function comingDeploy({ next, deploy: present }: App, release: number): number | null {
  if (next !== null) return next.release === release ? next.id : null
  const isComing =
    present?.release === release && (present.state === 'draining' || present.state === 'preparing')
  return isComing ? present.id : null
}

/** `dorc switch`. */
export async function* switchSlot(
  deps: DeployDeps,
  loop: AppLoop,
  command: SwitchCommand,
  caller: Caller,
): AsyncGenerator<ProgressLine> {
  const author: Author = { peer: caller.peer, ifMatch: caller.ifMatch }
  const wish = { ...command, requestedAt: deps.clock.wall() }
  const changed = await loop.change(author, (app, { observed }, now) =>
    requestSwitch(app, wish, observed, now),
  )
  yield* followDeploy(deps, loop, askedId(changed), { wait: 'ready', signal: caller.signal })
}

/** `dorc rollback`. */
export async function* rollback(
  deps: DeployDeps,
  loop: AppLoop,
  command: RollbackCommand,
  caller: Caller,
): AsyncGenerator<ProgressLine> {
  const { release } = command
  const kept = await deps.releases.list(loop.app.name)
  if (release !== null && !kept.some(({ number }) => number === release)) {
    throw new DorcError('RELEASE_UNKNOWN', `"${loop.app.name}" has no release ${release}`, {
      hint: `See what is kept: dorc releases ${loop.app.name}`,
    })
  }
  const author: Author = { peer: caller.peer, ifMatch: caller.ifMatch }
  const wish = { ...command, requestedAt: deps.clock.wall() }
  const changed = await loop.change(author, (app, { observed }, now) =>
    requestRollback(app, wish, observed, now),
  )
  yield* followDeploy(deps, loop, askedId(changed), { wait: 'ready', signal: caller.signal })
}

/** A switch goes on with the deploy that was ready, or is one of its own; a deploy waits its turn as `next`. */
const askedId = ({ next, deploy: present, lastDeployId }: App): number =>
  next?.id ?? present?.id ?? lastDeployId

function followDeploy(
  deps: DeployDeps,
  loop: AppLoop,
  id: number,
  { wait, signal }: { wait: 'ready' | 'live'; signal: AbortSignal },
): AsyncGenerator<ProgressLine> {
  const users = new SlotUsers(loop.app.name, deps)
  return follow(loop, id, { wait, signal, clock: deps.clock, status: () => deps.status(loop), users })
}

/** The newest progress of a copy, at most a few lines a second. */
class TakeInProgress {
  #latest: { files: number; bytes: number } | null = null
  #hasEnded = false
  #wake: () => void = () => undefined

  report(files: number, bytes: number): void {
    this.#latest = { files, bytes }
    this.#wake()
  }

  end(): void {
    this.#hasEnded = true
    this.#wake()
  }

  async *lines(): AsyncGenerator<ProgressLine> {
    while (!this.#hasEnded) {
      if (this.#latest !== null) yield { kind: 'take-in', ...this.#latest }
      this.#latest = null
      if (!this.#hasEnded && this.#latest === null)
        await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }
}
