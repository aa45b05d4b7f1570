import { createClient, DBusError, type MessageBus } from 'dbus-native'

/** The name of process 1 on the bus, and the object that stands for it. */
export const SYSTEMD = 'org.freedesktop.systemd1'
export const MANAGER_PATH = '/org/freedesktop/systemd1'

const CALL_TIMEOUT_MS = 25_000

export interface BusCall {
  readonly path: string
  readonly interface: string
  readonly member: string
  readonly signature?: string
  readonly body?: readonly unknown[]
  readonly timeoutMs?: number
}

export interface BusSignal {
  readonly path: string
  readonly member: string
  readonly body: readonly unknown[]
}

/**
 * A connection to process 1 over the system bus, made again by itself when it is lost. A call in flight then fails,
 * as do calls until the bus is back; no call waits for ever.
 */
export class Bus implements AsyncDisposable {
  readonly #bus: MessageBus
  readonly #listeners = new Set<(signal: BusSignal) => void>()

  constructor(socketPath: string) {
    this.#bus = createClient({
      socket: socketPath,
      authMethods: ['EXTERNAL'],
      timeout: CALL_TIMEOUT_MS,
      reconnect: { maxDelay: 2_000 },
    })
    this.#bus.connection.on('message', ({ type, path, member, body, interface: from }) => {
      const isOurs = from?.startsWith(SYSTEMD) === true || from === 'org.freedesktop.DBus.Properties'
      if (type !== 4 || !isOurs || path === undefined || member === undefined) return
      for (const listener of this.#listeners) listener({ path, member, body: body ?? [] })
    })
    // Without a listener Node would end the process; the calls that failed tell the reason.
    this.#bus.connection.on('error', () => undefined)
  }

  /** systemd sends signals only to those who asked; what was asked is forgotten with the connection. */
  async subscribe(): Promise<void> {
    await this.#bus.addMatch(`type='signal',sender='${SYSTEMD}'`)
    const ask = (): Promise<unknown> =>
      this.call({ path: MANAGER_PATH, interface: `${SYSTEMD}.Manager`, member: 'Subscribe' })
    await ask()
    this.#bus.on('reconnected', () => {
      // Signals are hints: without them changes are seen when somebody observes.
      ask().catch(() => undefined)
    })
  }

  /** Returns the first value of the answer. Throws DBusError, or TimeoutError when no answer comes. */
  async call(call: BusCall): Promise<unknown> {
    const { path, interface: on, member, signature, body, timeoutMs = CALL_TIMEOUT_MS } = call
    const message = {
      destination: SYSTEMD,
      path,
      interface: on,
      member,
      ...(signature === undefined ? {} : { signature, body: [...(body ?? [])] }),
    }
    return (await this.#bus.invoke(message, { timeout: timeoutMs })) as unknown
  }

  /** Returns the function that ends it. */
  onSignal(listener: (signal: BusSignal) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear()
    await this.#bus.close()
  }
}

/** True if process 1 answered with this error; `name` without the common beginning: `NoSuchUnit`. */
export function isSystemdError(error: unknown, name: string): boolean {
  return error instanceof DBusError && error.dbusName === `${SYSTEMD}.${name}`
}
