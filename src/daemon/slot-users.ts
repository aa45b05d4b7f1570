import type { ProgressLine } from '../api/protocol.ts'
import type { Slot } from '../core/app.ts'
import { DorcError } from '../core/errors.ts'
import type { Connection, DataPlane } from '../dataplane/dataplane.ts'
import type { Clock } from '../platform/clock.ts'

type Users = Pick<Extract<ProgressLine, { kind: 'draining' }>, 'oldestMs' | 'peers'>

const MOST_PEERS = 3
/** A loop may turn many times a second, and a list of thousands takes its time. */
const FRESH_MS = 900

/** Who keeps a deploy waiting, for people. */
export class SlotUsers {
  readonly #app: string
  readonly #deps: { readonly dataPlane: DataPlane; readonly clock: Clock }
  #known: Users = { oldestMs: null, peers: [] }
  #askedAt = -Infinity

  constructor(app: string, deps: { readonly dataPlane: DataPlane; readonly clock: Clock }) {
    this.#app = app
    this.#deps = deps
  }

  /** Of that slot. Nobody, if the data plane does not tell: how many they are is known all the same. */
  async of(slot: Slot): Promise<Users> {
    const now = this.#deps.clock.now()
    if (now - this.#askedAt < FRESH_MS) return this.#known
    this.#askedAt = now
    try {
      const all = await this.#deps.dataPlane.connections(this.#app)
      this.#known = usersAmong(all.filter((one) => one.slot === slot))
    } catch (error) {
      if (!(error instanceof DorcError)) throw error
      this.#known = { oldestMs: null, peers: [] }
    }
    return this.#known
  }
}

/** Pure. */
export function usersAmong(connections: readonly Pick<Connection, 'ageMs' | 'peer'>[]): Users {
  const ages = connections.flatMap(({ ageMs }) => ageMs ?? [])
  const byHost = Map.groupBy(connections, ({ peer }) => peer.host)
  const peers = [...byHost].map(([host, all]) => ({ host, connections: all.length }))
  return {
    oldestMs: ages.length === 0 ? null : ages.reduce((one, other) => Math.max(one, other)),
    peers: peers.toSorted((one, other) => other.connections - one.connections).slice(0, MOST_PEERS),
  }
}
