import type { DaemonClient } from '../../api/client.ts'
import type { Slot } from '../../core/app.ts'
import { defaultUploadDir, defaultWorkingDir, type Paths } from '../../platform/paths.ts'
import { type Answers, DEFAULT_START, type Given, type SlotAnswers } from './answers.ts'
import { appToml } from './app-toml.ts'

/**
 * Answers that are not complete yet. The daemon judges each: what is not answered is filled with values that are
 * sure to be right, so whatever it finds is wrong with the newest answer.
 */
export class Draft {
  readonly #daemon: DaemonClient
  readonly #paths: Paths
  readonly #freePorts: readonly number[]
  readonly #takenNames: ReadonlySet<string>
  given: Given

  private constructor(daemon: DaemonClient, paths: Paths, given: Given, world: World) {
    this.#daemon = daemon
    this.#paths = paths
    this.given = given
    this.#freePorts = world.freePorts
    this.#takenNames = world.takenNames
  }

  static async open(daemon: DaemonClient, paths: Paths, given: Given): Promise<Draft> {
    const { apps } = await daemon.status()
    const { freePorts } = await daemon.check({ name: 'new', toml: '' })
    return new Draft(daemon, paths, given, { freePorts, takenNames: new Set(apps.map(({ name }) => name)) })
  }

  /** Why the answers as they are with `change` will not do; null if they will. */
  async problem(change: Partial<Given>): Promise<string | null> {
    const answers = this.complete({ ...this.given, ...change })
    if (this.#takenNames.has(answers.name)) return `There is an app "${answers.name}" already`
    const { problems } = await this.#daemon.check({ name: answers.name, toml: appToml(answers, this.#paths) })
    const [first] = problems
    return first === undefined ? null : [first.key, first.message].filter((part) => part !== null).join(' ')
  }

  /** The answers with a value for each that is still missing. */
  complete(given: Given = this.given): Answers {
    const name = given.name ?? this.#placeholderName()
    const free = this.#unusedPorts(given)
    const nextFree = (): number => free.shift() ?? 0
    const listen = given.listen ?? String(nextFree())
    const slot = (slot: Slot): SlotAnswers => {
      const { workingDir, port, start, stop, reload } = given.slots[slot]
      return {
        workingDir: workingDir ?? defaultWorkingDir(this.#paths, name, slot),
        port: port ?? nextFree(),
        start: start ?? DEFAULT_START,
        stop: stop ?? '',
        reload: reload ?? '',
      }
    }
    return {
      name,
      uploadDir: given.uploadDir ?? defaultUploadDir(this.#paths, name),
      executable: given.executable ?? name,
      listen,
      autoSwitch: given.autoSwitch,
      slots: { blue: slot('blue'), green: slot('green') },
    }
  }

  #placeholderName(): string {
    let name = 'new'
    while (this.#takenNames.has(name)) name += 'er'
    return name
  }

  #unusedPorts({ listen, slots }: Given): number[] {
    const listenPort = Number(/\d+$/.exec(listen ?? '')?.[0])
    const used = [listenPort, slots.blue.port, slots.green.port]
    return this.#freePorts.filter((port) => !used.includes(port))
  }
}

interface World {
  readonly freePorts: readonly number[]
  readonly takenNames: ReadonlySet<string>
}
