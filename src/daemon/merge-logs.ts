import type { LogLine } from '../supervisor/supervisor.ts'

/** The lines of several slots as one: the newest of them in the order of their times, or, followed, as they come. */
export async function* mergeLogs(
  sources: readonly AsyncIterable<LogLine>[],
  { lines, follow }: { readonly lines: number; readonly follow: boolean },
): AsyncGenerator<LogLine> {
  if (follow) {
    yield* interleave(sources)
    return
  }
  const all = (await Promise.all(sources.map((source) => Array.fromAsync(source)))).flat()
  yield* all.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)).slice(-lines)
}

async function* interleave<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<T> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]())
  const pending = new Map<number, Promise<{ index: number; result: IteratorResult<T> }>>()
  const ask = (index: number): void => {
    const iterator = iterators[index]
    if (iterator !== undefined)
      pending.set(
        index,
        iterator.next().then((result) => ({ index, result })),
      )
  }
  iterators.forEach((_, index) => ask(index))
  while (pending.size > 0) {
    const { index, result } = await Promise.race(pending.values())
    pending.delete(index)
    if (result.done === true) continue
    yield result.value
    ask(index)
  }
}
