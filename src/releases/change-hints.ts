import { type FSWatcher, watch } from 'node:fs'
import type { Directory } from './fingerprint.ts'

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
  follow(directories: readonly Directory[]): void {
    const wanted = new Map(
      directories.map((directory) => [`${directory.inode} ${directory.path}`, directory.path]),
    )
    for (const [key, watcher] of this.#watchers) {
      if (!wanted.has(key)) this.#drop(key, watcher)
    }
    for (const [key, path] of wanted) if (!this.#watchers.has(key)) this.#add(key, path)
  }

  [Symbol.dispose](): void {
    for (const [key, watcher] of this.#watchers) this.#drop(key, watcher)
  }

  #add(key: string, path: string): void {
    let watcher: FSWatcher
    try {
      watcher = watch(path, { persistent: false })
    } catch {
      // Gone already, or no watches are left: the next rescan sees what this one would have told of.
      return
    }
    this.#watchers.set(key, watcher)
    watcher.on('error', () => this.#drop(key, watcher))
    watcher.on('change', () => this.#onHint())
  }

  #drop(key: string, watcher: FSWatcher): void {
    if (this.#watchers.get(key) === watcher) this.#watchers.delete(key)
    watcher.close()
  }
}
