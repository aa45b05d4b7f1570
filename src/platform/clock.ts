import { readFileSync } from 'node:fs'
import type { MonotonicMs } from '../core/app.ts'

/** Time as a port: tests and the simulator bring their own. */
export interface Clock {
  /** CLOCK_MONOTONIC, the same for all processes of one boot. */
  now(): MonotonicMs
  /** The wall clock, for people: ISO 8601, UTC. */
  wall(): string
  /** Calls back after `ms`, unless the returned function is called first. */
  after(ms: number, callback: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Number(process.hrtime.bigint() / 1_000_000n),
  wall: () => new Date().toISOString(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(ms, 2 ** 31 - 1))
    return () => clearTimeout(timer)
  },
}

/** Monotonic times mean nothing under another boot id (proc(5), random/boot_id). */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}
