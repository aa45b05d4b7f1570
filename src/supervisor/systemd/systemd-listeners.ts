import { createServer } from 'node:net'
import { formatListen, type ListenAddress } from '../../core/definition.ts'
import { DorcError, hasCode } from '../../core/errors.ts'
import { describePortHolder } from '../../platform/port-holder.ts'
import {
  appOfListenSocket,
  listenSocketName,
  listenSocketText,
  placeholderName,
  RELAY_SOCKETS_FILE,
  relaySocketsText,
} from './listen-unit.ts'
import { copyListenerOfProcessOne, isSameListen } from './process-one-socket.ts'
import type { Systemd } from './systemd.ts'
import { UnitFiles } from './unit-files.ts'

export interface SystemdListenersDeps {
  /** Shared; the caller closes it. */
  readonly systemd: Systemd
  /** Where units are written: /etc/systemd/system. */
  readonly unitDir: string
}

/**
 * The public sockets, as socket units: process 1 holds them, so that they outlive daemon and relays and are there
 * first at boot. A relay that starts is given all of them by systemd; one that runs gets a new one as a copy, taken
 * out of process 1. One change at a time.
 */
export class SystemdListeners {
  readonly #systemd: Systemd
  readonly #files: UnitFiles
  #last: Promise<unknown> = Promise.resolve()
  #hasReloaded = false

  constructor({ systemd, unitDir }: SystemdListenersDeps) {
    this.#systemd = systemd
    this.#files = new UnitFiles(unitDir)
  }

  /**
   * The fd of a listening, non-blocking, close-on-exec socket on `listen`; the caller closes it. Opens it if it is
   * not open yet; an address that the app had before is closed. null: it is open, and nobody may have a copy of it, but
   * a relay that starts is given it. Throws PORT_TAKEN, naming the process that holds it, and then nothing has changed.
   */
  open(app: string, listen: ListenAddress): Promise<number | null> {
    return this.#inTurn(`Cannot listen on "${formatListen(listen)}"`, async () => {
      const present = (await this.#isOpen(app, listen)) ? copyListenerOfProcessOne(listen) : null
      if (present === null) {
        await mustBeFree(listen)
        await this.#stop(app)
      }
      const isNew = await this.#files.write(listenSocketName(app), listenSocketText(app, listen))
      await this.#loadRelaySockets(isNew)
      if (present !== null) return fdOrNull(present)
      await this.#systemd.enable(listenSocketName(app))
      const result = await this.#systemd.runJob('StartUnit', listenSocketName(app))
      const opened = copyListenerOfProcessOne(listen)
      if (opened !== null) return fdOrNull(opened)
      throw new DorcError('DATA_PLANE_FAILED', `Cannot listen on "${formatListen(listen)}"`, {
        cause: new Error(`systemd's job ended with "${result}"`),
        hint: `Run: journalctl -u ${listenSocketName(app)} -n 20`,
      })
    })
  }

  close(app: string): Promise<void> {
    return this.#inTurn(`Cannot close the public port of "${app}"`, async () => {
      await this.#systemd.disable(listenSocketName(app))
      await this.#stop(app)
      await this.#loadRelaySockets(await this.#files.remove(listenSocketName(app)))
      await this.#systemd.resetFailed(listenSocketName(app))
    })
  }

  async #isOpen(app: string, listen: ListenAddress): Promise<boolean> {
    const properties = await this.#systemd.properties(listenSocketName(app))
    const [[, address = ''] = []] = properties.list('Listen') as string[][]
    return properties.text('ActiveState') === 'active' && isSameListen(address, listen)
  }

  /** A socket cannot be started while the service that it names is active. */
  async #stop(app: string): Promise<void> {
    for (const unit of [listenSocketName(app), placeholderName(app)]) {
      const state = (await this.#systemd.properties(unit)).text('ActiveState')
      if (state !== 'inactive' && state !== 'failed') await this.#systemd.runJob('StopUnit', unit)
    }
  }

  /** The first time it reloads in any case: whoever wrote these files before may have died before that. */
  async #loadRelaySockets(hasChanged: boolean): Promise<void> {
    const apps = (await this.#files.list()).map(appOfListenSocket).filter((app) => app !== null)
    const isNew = await this.#files.write(RELAY_SOCKETS_FILE, relaySocketsText(apps.sort()))
    if (!hasChanged && !isNew && this.#hasReloaded) return
    await this.#systemd.reload()
    this.#hasReloaded = true
  }

  #inTurn<T>(what: string, action: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(action).catch((error: unknown) => {
      if (error instanceof DorcError) throw error
      throw new DorcError('DATA_PLANE_FAILED', what, { cause: error })
    })
    this.#last = mine.catch(() => undefined)
    return mine
  }
}

const fdOrNull = (copy: number | 'forbidden'): number | null => (copy === 'forbidden' ? null : copy)

/** Asked of the kernel by taking the address for a moment, because systemd would not say who holds it. */
async function mustBeFree(listen: ListenAddress): Promise<void> {
  const server = createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ ...listen, exclusive: true }, resolve)
    })
  } catch (cause) {
    throw explainBindError(cause, listen)
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
}

function explainBindError(cause: unknown, listen: ListenAddress): DorcError {
  const action = `Cannot listen on "${formatListen(listen)}"`
  if (hasCode(cause, 'EADDRINUSE'))
    return new DorcError(
      'PORT_TAKEN',
      `${action}, ${describePortHolder(listen.port) ?? 'another process'} holds the port`,
      {
        cause,
        hint: 'Stop that program, or give the app another listen address',
      },
    )
  const hint = 'That address is none of this host: see `ip address`'
  return new DorcError(
    'DATA_PLANE_FAILED',
    action,
    hasCode(cause, 'EADDRNOTAVAIL') ? { cause, hint } : { cause },
  )
}
