import type { App, Observed, ReleaseNumber } from '../../src/core/app.ts'
import { rebaseDeadlines, reconcile } from '../../src/core/reconcile.ts'
import type { Behaviour, World } from './world.ts'
import { World as SimulatedWorld } from './world.ts'

/** Where the daemon dies: counted over all saves and steps of a run. */
export interface Crash {
  readonly at: number
  readonly half: boolean
  readonly reboot: boolean
}

export interface Request {
  /** Simulated ms after the run's start. */
  readonly at: number
  readonly name: string
  /** Throws to refuse, as the API does. */
  readonly change: (app: App, observed: Observed, now: number) => App
  /** What happens to the world at that time, beside the request. */
  readonly world?: (world: World) => void
}

export interface Run {
  readonly app: App
  readonly world: World
  /** How many points the run had at which the daemon could have died. */
  readonly points: number
  readonly refused: readonly string[]
  readonly states: readonly string[]
}

class Died extends Error {}

const STEP_LIMIT = 2_000
const RECOVERY_MS = 5_000

/** Runs a script of requests to its end, with one crash at most, until nothing changes any more. */
export function simulate(
  initial: App,
  script: readonly Request[],
  behaviours: ReadonlyMap<ReleaseNumber, Behaviour>,
  crash: Crash | null,
): Run {
  const world = new SimulatedWorld(behaviours)
  let start = world.now
  const refused: string[] = []
  const states = new Set<string>()
  let stored = initial
  let points = 0
  const pending = [...script]

  const survive = (half: () => void): void => {
    points += 1
    if (crash === null || points - 1 !== crash.at) return
    if (crash.half) half()
    throw new Died()
  }

  const turn = (): number | null => {
    const before = stored
    const tick = reconcile(stored, world.observe(), world.now)
    if (tick.app !== before) {
      survive(() => undefined)
      stored = tick.app
      if (stored.generation < before.generation) world.violations.push('the generation went back')
      if (stored.deploy !== null) states.add(stored.deploy.state)
      survive(() => undefined)
    }
    for (const step of tick.steps) {
      survive(() => world.execute(step, stored, true))
      world.execute(step, stored)
    }
    return tick.app !== before || tick.steps.length > 0 ? world.now : tick.wakeAt
  }

  let quiet = 0
  for (let turns = 0; turns < STEP_LIMIT && quiet < 400 && !world.isForgotten; turns += 1) {
    const request = pending[0]
    if (request !== undefined && world.now - start >= request.at) {
      pending.shift()
      request.world?.(world)
      try {
        stored = request.change(stored, world.observe(), world.now)
      } catch (error) {
        refused.push(`${request.name}: ${error instanceof Error ? error.message : 'thrown'}`)
      }
    }
    try {
      const wakeAt = turn()
      quiet = wakeAt === null && pending.length === 0 ? quiet + 1 : 0
      if (wakeAt !== world.now) world.advance(world.now + 250)
    } catch (error) {
      if (!(error instanceof Died)) throw error
      world.forgetProbes()
      if (crash?.reboot === true) {
        // People wait until the host is up and its slots had time to start before they go on.
        start += world.reboot() + RECOVERY_MS
        stored = rebaseDeadlines(stored, world.now)
      }
    }
  }
  return { app: stored, world, points, refused, states: [...states] }
}
