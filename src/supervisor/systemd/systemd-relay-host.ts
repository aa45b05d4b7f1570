import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { DorcError } from '../../core/errors.ts'
import type { Systemd } from './systemd.ts'
import { exitText } from './exit-text.ts'
import { UnitFiles } from './unit-files.ts'

export interface SystemdRelayHostDeps {
  /** Shared; the caller closes it. */
  readonly systemd: Systemd
  /** Where units are written: /etc/systemd/system. */
  readonly unitDir: string
}

interface RelayProcess {
  readonly generation: number
  readonly controlPath: string
}

const START_TIMEOUT_MS = 15_000
const WANTS = 'multi-user.target.wants'

/** Of the relays' own user: see RuntimeDirectory= in setup/units.ts. */
export const RELAY_RUN_DIR = '/run/dorc-relay'

export const relayUnitName = (generation: number): string => `dorc-relay@${generation}.service`
export const RELAY_UNITS = 'dorc-relay@*.service'

/** Which generation a unit is; null for all others. */
export function generationOf(unit: string): number | null {
  const digits = /^dorc-relay@([1-9]\d*)\.service$/.exec(unit)?.[1]
  return digits === undefined ? null : Number(digits)
}

/** Relays as instances of dorc-relay@.service, a unit that `dorc setup` installs. */
export class SystemdRelayHost {
  readonly #systemd: Systemd
  readonly #files: UnitFiles

  constructor({ systemd, unitDir }: SystemdRelayHostDeps) {
    this.#systemd = systemd
    this.#files = new UnitFiles(unitDir)
  }

  /** Generations that run now, oldest first, also those that are being started or wait for their last connection. */
  async running(): Promise<readonly RelayProcess[]> {
    const units = await this.#systemd.runningUnits(RELAY_UNITS)
    return units
      .map(generationOf)
      .filter((generation) => generation !== null)
      .sort((one, other) => one - other)
      .map(relayProcess)
  }

  /**
   * Starts this generation and makes it the one started at boot; resolves when its control socket accepts. Older ones
   * go on, and are left to end. Throws DATA_PLANE_FAILED.
   */
  async start(generation: number): Promise<RelayProcess> {
    const unit = relayUnitName(generation)
    try {
      // A relay that a shutdown stops needs no successor; one would only hold the shutdown up.
      if (await this.#systemd.isStopping()) throw new Error('The host is shutting down')
      const result = await this.#systemd.runJob('StartUnit', unit)
      if (result !== 'done' && result !== 'lost') throw new Error(`systemd's job ended with "${result}"`)
      await this.#untilItAccepts(generation)
      await this.#systemd.enable(unit)
      for (const older of await this.#enabled())
        if (older !== generation) await this.#systemd.disable(relayUnitName(older))
      return relayProcess(generation)
    } catch (cause) {
      throw new DorcError('DATA_PLANE_FAILED', `Cannot start relay generation ${generation}`, {
        cause,
        hint: `Run: journalctl -u ${unit} -n 50`,
      })
    }
  }

  async #enabled(): Promise<number[]> {
    return (await this.#files.list(WANTS)).map(generationOf).filter((generation) => generation !== null)
  }

  async #untilItAccepts(generation: number): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS
    while (!(await accepts(relayProcess(generation).controlPath))) {
      const properties = await this.#systemd.properties(relayUnitName(generation))
      const isGone = ['inactive', 'failed'].includes(properties.text('ActiveState'))
      if (isGone) throw new Error(`It ended at once: ${exitText(properties) ?? 'no exit status'}`)
      if (performance.now() > deadline) throw new Error('Its control socket does not accept')
      await pause(10)
    }
  }
}

function relayProcess(generation: number): RelayProcess {
  return { generation, controlPath: `${RELAY_RUN_DIR}/${generation}/control.sock` }
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    // Not there yet, or not listening yet: whatever it is, the deadline is the answer.
    socket.once('error', () => resolve(false))
  })
}
