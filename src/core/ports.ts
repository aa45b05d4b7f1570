import { SLOTS } from './app.ts'
import { type Definition, formatListen, type ListenAddress } from './definition.ts'
import { DorcError } from './errors.ts'

interface Named {
  readonly name: string
  readonly definition: Definition
}

/** Throws PORT_TAKEN or PATH_INVALID if two apps would want the same port or directory, naming app and key. */
export function crossCheck(definition: Definition, others: readonly Named[]): void {
  for (const other of others) {
    checkPorts(definition, other)
    checkDirs(definition, other)
  }
}

function checkPorts({ listen, slots }: Definition, { name, definition: other }: Named): void {
  if (overlaps(listen, other.listen)) throw portTaken(`listen = "${formatListen(listen)}"`, name, 'listen')
  for (const slot of SLOTS) {
    const { port } = slots[slot]
    if (port === other.listen.port) throw portTaken(`${slot}.port = ${port}`, name, 'listen')
    if (listen.port === other.slots[slot].port)
      throw portTaken(`listen port ${listen.port}`, name, `${slot}.port`)
    for (const theirs of SLOTS) {
      if (port === other.slots[theirs].port) throw portTaken(`${slot}.port = ${port}`, name, `${theirs}.port`)
    }
  }
}

/** Two addresses of one port can be served side by side, unless one of them is a wildcard. */
function overlaps(a: ListenAddress, b: ListenAddress): boolean {
  const isWildcard = ({ host }: ListenAddress): boolean => host === '0.0.0.0' || host === '::'
  return a.port === b.port && (a.host === b.host || isWildcard(a) || isWildcard(b))
}

function portTaken(what: string, app: string, key: string): DorcError {
  return new DorcError('PORT_TAKEN', `${what} is taken by app "${app}" (${key})`, {
    hint: 'Choose another port',
  })
}

function checkDirs({ uploadDir, slots }: Definition, { name, definition: other }: Named): void {
  const ours = {
    upload_dir: uploadDir,
    'blue.dir': slots.blue.workingDir,
    'green.dir': slots.green.workingDir,
  }
  const theirs = [other.uploadDir, other.slots.blue.workingDir, other.slots.green.workingDir]
  for (const [key, path] of Object.entries(ours)) {
    const clash = theirs.find((their) => isWithin(path, their) || isWithin(their, path))
    if (clash === undefined) continue
    throw new DorcError('PATH_INVALID', `${key} = "${path}" overlaps with "${clash}" of app "${name}"`, {
      hint: 'Give each app directories of its own',
    })
  }
}

/** Whether `path` is `dir` or lies below it; both absolute and normalised. */
export function isWithin(path: string, dir: string): boolean {
  return path === dir || path.startsWith(dir.endsWith('/') ? dir : `${dir}/`)
}
