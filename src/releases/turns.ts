/** Lets the tasks of one name run one after the other; those of different names know nothing of each other. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Runs `task` after all that were given before under that name. Throws what it throws, or the signal's reason. */
  async take<T>(name: string, task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.#last.get(name) ?? Promise.resolve()
    const turn = before.then(() => {
      signal?.throwIfAborted()
      return task()
    })
    // The next one waits for the end, whatever it is; its owner hears of a failure.
    const settled = turn.then(
      () => undefined,
      () => undefined,
    )
    this.#last.set(name, settled)
    try {
      return await turn
    } finally {
      if (this.#last.get(name) === settled) this.#last.delete(name)
    }
  }
}
