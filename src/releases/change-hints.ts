import { type FSWatcher, watch } from 'node:fs'

/**
 * Tells early that something may have changed in some directories. It may miss changes, and tell of none: the kernel's
 * queue overflows, watches run out, a directory is replaced. One inotify watch per directory, none per file.
 */
export class ChangeHints implements Disposable {
  readonly #onHint: () => void
  readonly #watchers = new Map<string, FSWatcher>()

  constructor(onHint: () => void) {
    this.#onHint = onHint
  }

  /** Watches these directories and no others. */
  follow(directories: readonly string[]): void {
    for (const [path, watcher] of this.#watchers) {
      if (!directories.includes(path)) this.#drop(path, watcher)
    }
    for (const path of directories) if (!this.#watchers.has(path)) this.#add(path)
  }

  [Symbol.dispose](): void {
    for (const [path, watcher] of this.#watchers) this.#drop(path, watcher)
  }

  #add(path: string): void {
    let watcher: FSWatcher
    try {
      watcher = watch(path, { persistent: false })
    } catch {
      // Gone already, or no watches are left: the next rescan sees what this one would have told of.
      return
    }
    this.#watchers.set(path, watcher)
    watcher.on('error', () => this.#drop(path, watcher))
    watcher.on('change', (type) => {
      // Also what a directory says of itself when it is moved or deleted: its watch then tells of the wrong one.
      if (type === 'rename') this.#drop(path, watcher)
      this.#onHint()
    })
  }

  #drop(path: string, watcher: FSWatcher): void {
    if (this.#watchers.get(path) === watcher) this.#watchers.delete(path)
    watcher.close()
  }
}
