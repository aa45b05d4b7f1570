import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { App } from '../core/app.ts'
import { DorcError } from '../core/errors.ts'
import { rebaseDeadlines } from '../core/reconcile.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/log.ts'
import type { Paths } from '../platform/paths.ts'
import type { IntentStore } from '../state/intent-store.ts'
import { AppLoop } from './app-loop.ts'
import type { Chronicle } from './chronicle.ts'
import { executorsFor } from './execute.ts'
import { type Adapters, observe } from './observe.ts'
import { Receipts } from './receipts.ts'
import { SwitchHooks } from './switch-hooks.ts'
import { releasesInUse } from './take-in.ts'
import { deployUploads } from './uploads.ts'
import type { UploadWatch } from '../releases/upload-watch.ts'

export interface RegistryDeps {
  readonly adapters: Adapters
  readonly intents: IntentStore
  readonly chronicle: Chronicle
  readonly clock: Clock
  readonly log: Logger
  readonly paths: Paths
}

export interface SetAside {
  readonly name: string
  readonly reason: string
}

/** All apps of this host, each with its loop and its watch on the upload directory. */
export class Registry {
  readonly #deps: RegistryDeps
  readonly #loops = new Map<string, AppLoop>()
  readonly #watches = new Map<string, UploadWatch>()
  #setAside: SetAside[] = []
  readonly #hooks: SwitchHooks

  constructor(deps: RegistryDeps) {
    this.#deps = deps
    this.#hooks = new SwitchHooks(deps.adapters.supervisor, deps.chronicle)
  }

  get loops(): readonly AppLoop[] {
    return [...this.#loops.values()].sort((a, b) => (a.app.name < b.app.name ? -1 : 1))
  }

  /** Apps whose state cannot be read: left alone until somebody mends it. */
  get setAside(): readonly SetAside[] {
    return this.#setAside
  }

  /** Throws APP_UNKNOWN, or STATE_CORRUPT for one that is set aside. */
  loop(name: string): AppLoop {
    const loop = this.#loops.get(name)
    if (loop !== undefined) return loop
    const aside = this.#setAside.find((candidate) => candidate.name === name)
    if (aside !== undefined) {
      throw new DorcError('STATE_CORRUPT', `"${name}" is set aside: ${aside.reason}`, {
        hint: 'Its slots run on. Mend or restore the file, then: systemctl restart dorcd',
      })
    }
    const known = this.loops.map(({ app }) => app.name)
    throw new DorcError('APP_UNKNOWN', `There is no app "${name.slice(0, 60)}"`, {
      hint: known.length === 0 ? 'Register one: dorc register' : `There are: ${known.join(', ')}`,
    })
  }

  has(name: string): boolean {
    return this.#loops.has(name) || this.#setAside.some((candidate) => candidate.name === name)
  }

  /** Takes up every app that is on disk. One that cannot be read never holds up the others. */
  async open(): Promise<void> {
    const { intents, clock, log, chronicle } = this.#deps
    const { apps, corrupt } = await intents.loadAll()
    this.#setAside = [...corrupt]
    for (const { name, reason } of corrupt) {
      log.error('app-set-aside', { app: name, reason })
      chronicle.record(name, { type: 'set-aside', message: `Set aside: ${reason}`, deploy: null }, null)
    }
    for (const { app, sameBoot } of apps) this.adopt(sameBoot ? app : rebaseDeadlines(app, clock.now()))
  }

  /** Starts the loop of an app whose intent is on disk. */
  adopt(app: App): AppLoop {
    const { adapters, intents, chronicle, clock } = this.#deps
    const log = this.#deps.log.child({ app: app.name })
    const loop = new AppLoop(app, {
      clock,
      chronicle,
      log,
      receipts: (onWritten) =>
        new Receipts({
          ...adapters,
          chronicle,
          log,
          onWritten,
          onSwitched: (present, slot) => this.#hooks.after(present, slot),
        }),
      save: (changed) => intents.save(changed),
      observe: (present, problems) => observe(present, adapters, problems),
      executors: executorsFor(adapters, { chronicle, forget: (gone, purge) => this.#forget(gone, purge) }),
      onForgotten: (name) => this.#drop(name),
    })
    this.#loops.set(app.name, loop)
    loop.onChange(() => this.#prune(loop))
    loop.start()
    this.watchUploads(app.name)
    return loop
  }

  /** Begins, or after a change of the definition begins anew, to watch the upload directory. */
  watchUploads(name: string): void {
    const loop = this.#loops.get(name)
    this.#watches.get(name)?.close()
    this.#watches.delete(name)
    if (loop === undefined || loop.app.removal !== null) return
    const { adapters, chronicle, clock, log } = this.#deps
    const watch = deployUploads({ ...adapters, chronicle, clock, log }, loop)
    if (watch !== null) this.#watches.set(name, watch)
  }

  async close(): Promise<void> {
    for (const watch of this.#watches.values()) watch.close()
    await Promise.all(this.loops.map((loop) => loop.close()))
  }

  /** Old releases go when a deploy has ended, so that the copy of the next one finds room. */
  readonly #pruned = new Map<string, number>()
  #prune(loop: AppLoop): void {
    const { app } = loop
    const { deploy } = app
    const hasEnded = deploy !== null && (deploy.state === 'live' || deploy.state === 'ready')
    if (!hasEnded || this.#pruned.get(app.name) === deploy.id) return
    this.#pruned.set(app.name, deploy.id)
    const { adapters, log } = this.#deps
    adapters.releases
      .prune(app.name, {
        keep: app.definition.keepReleases,
        keepBytes: app.definition.keepBytes,
        inUse: () => releasesInUse(loop.app),
      })
      .catch((error: unknown) => log.warn('prune-failed', { app: app.name, error }))
  }

  async #forget({ name }: App, purge: boolean): Promise<void> {
    const { adapters, intents, paths } = this.#deps
    const file = join(paths.appFiles, `${name}.toml`)
    if (purge) {
      await adapters.releases.removeApp(name)
      await rm(file, { force: true })
    } else {
      await rename(file, `${file}.removed`).catch((error: unknown) => {
        this.#deps.log.warn('definition-not-kept', { app: name, error })
      })
    }
    await intents.remove(name)
  }

  #drop(name: string): void {
    this.#watches.get(name)?.close()
    this.#watches.delete(name)
    this.#loops.delete(name)
    this.#pruned.delete(name)
    this.#deps.chronicle.record(
      name,
      { type: 'removed', message: `"${name}" was removed`, deploy: null },
      null,
    )
  }
}
