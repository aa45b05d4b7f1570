import { describeError, DorcError, type ErrorCode } from '../core/errors.ts'
import { requestDeploy } from '../core/requests.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/log.ts'
import type { ReleaseStore } from '../releases/release-store.ts'
import { type UploadWatch, watchUploads } from '../releases/upload-watch.ts'
import type { Supervisor } from '../supervisor/supervisor.ts'
import { refuseIfNoRoom, refuseUnitUnfit } from './admission.ts'
import type { AppLoop } from './app-loop.ts'
import type { Chronicle } from './chronicle.ts'
import { isInPlace, takeIn } from './take-in.ts'

export interface UploadDeps {
  readonly releases: ReleaseStore
  readonly supervisor: Supervisor
  readonly chronicle: Chronicle
  readonly clock: Clock
  readonly log: Logger
}

/** Failures that the same tree would meet again: it is looked at again only when it changes. */
const FINAL: ReadonlySet<ErrorCode> = new Set(['RELEASE_INVALID', 'RELEASE_BAD', 'RELEASE_EMPTY'])

/** Deploys what appears in the upload directory, once it is still. null: this app does not want that. */
export function deployUploads(deps: UploadDeps, loop: AppLoop): UploadWatch | null {
  const { name, definition } = loop.app
  if (!definition.watch) return null
  return watchUploads({
    app: name,
    uploadDir: definition.uploadDir,
    settleMs: definition.settleMs,
    handled: {
      load: () => deps.releases.uploads.load(name),
      save: (fingerprint) => deps.releases.uploads.save(name, fingerprint),
    },
    clock: deps.clock,
    log: deps.log.child({ app: name }),
    onStill: async () => {
      try {
        await deployUpload(deps, loop)
        return 'handled'
      } catch (error) {
        const detail = describeError(error)
        deps.chronicle.record(
          name,
          { type: 'upload-refused', message: `Upload not taken: ${detail}`, deploy: null },
          null,
        )
        return error instanceof DorcError && FINAL.has(error.code) ? 'handled' : 'retry'
      }
    },
  })
}

async function deployUpload(
  { releases, supervisor, chronicle, clock }: UploadDeps,
  loop: AppLoop,
): Promise<void> {
  const { app } = loop
  const source = { path: app.definition.uploadDir, uploader: null }
  const { release } = await takeIn({ releases, chronicle }, app, source, {
    onProgress: () => undefined,
    signal: new AbortController().signal,
  })
  const { number, files, bytes } = release
  const message = `Release ${number} was taken in: ${files} files, ${bytes} bytes`
  if (isInPlace(loop.app, number)) {
    const same = `The upload has the content of release ${number}, which is in place already`
    chronicle.record(app.name, { type: 'nothing-new', message: same, deploy: null }, null)
    return
  }
  chronicle.record(app.name, { type: 'taken-in', message, deploy: null }, null)
  await refuseUnitUnfit(loop.app, release, supervisor)
  await loop.change(null, (present, observation) => {
    refuseIfNoRoom(present, observation, release)
    return requestDeploy(present, {
      kind: 'deploy',
      release: number,
      switchWhenReady: present.definition.autoSwitch,
      force: false,
      requestedAt: clock.wall(),
    })
  })
}
