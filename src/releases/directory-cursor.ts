import { closeSync } from 'node:fs'
import { openBeneath, READ_DIRECTORY } from './file-calls.ts'

/**
 * The parent directories of paths in a tree, opened one name at a time from the tree's root, so that no symbolic link
 * and no mount is passed. Keeps the last one open: paths come directory by directory.
 */
export class DirectoryCursor implements Disposable {
  readonly #rootFd: number
  #last: { readonly path: string; readonly fd: number } | null = null

  constructor(rootFd: number) {
    this.#rootFd = rootFd
  }

  /** Valid until the next call. Throws SystemCallError. */
  parentOf(path: string): number {
    const slash = path.lastIndexOf('/')
    return slash < 0 ? this.#rootFd : this.#directory(path.slice(0, slash))
  }

  #directory(path: string): number {
    if (this.#last?.path === path) return this.#last.fd
    this.#closeLast()
    let fd = this.#rootFd
    for (const name of path.split('/')) {
      const parentFd = fd
      try {
        fd = openBeneath(parentFd, name, READ_DIRECTORY)
      } finally {
        if (parentFd !== this.#rootFd) closeSync(parentFd)
      }
    }
    this.#last = { path, fd }
    return fd
  }

  [Symbol.dispose](): void {
    this.#closeLast()
  }

  #closeLast(): void {
    if (this.#last === null) return
    closeSync(this.#last.fd)
    this.#last = null
  }
}

export const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1)
