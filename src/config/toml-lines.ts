/**
 * On which line a key of a TOML document stands, by its dotted path. Made for messages: it reads headers and
 * `key =` lines, and for a path that it does not find names the line of the nearest table around it.
 */
export function lineOf(toml: string, path: readonly PropertyKey[]): number | null {
  const lines = linesByPath(toml)
  for (let length = path.length; length > 0; length -= 1) {
    const line = lines.get(path.slice(0, length).map(String).join('.'))
    if (line !== undefined) return line
  }
  return null
}

function linesByPath(toml: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  let table = ''
  toml.split('\n').forEach((line, index) => {
    const header = /^\s*\[([^[\]]+)\]\s*(#.*)?$/.exec(line)?.[1]
    const key = /^\s*([\w."'-]+)\s*=/.exec(line)?.[1]
    if (header !== undefined) table = plainKey(header)
    const path =
      header !== undefined
        ? table
        : key === undefined
          ? null
          : [table, plainKey(key)].filter(Boolean).join('.')
    if (path !== null && !found.has(path)) found.set(path, index + 1)
  })
  return found
}

const plainKey = (key: string): string => key.replaceAll(/["'\s]/g, '')
