import { readFileSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import type { ListenAddress } from '../../core/definition.ts'
import type { Target } from '../../core/app.ts'
import type { Route } from '../dataplane.ts'

/**
 * The wanted routes, all of them, as JSON: `{"routes":[Route, …]}`. The daemon writes the file and every relay
 * generation reads it, at its start and when told, so that a relay needs no daemon to serve.
 */
export function readRoutes(path: string): Route[] {
  return parseRoutes(readFileSync(path, 'utf8'))
}

/** Not synced to disk: after a reboot the daemon writes it anew from the intents. */
export async function writeRoutes(path: string, routes: readonly Route[]): Promise<void> {
  await writeFile(`${path}.new`, `${JSON.stringify({ routes }, null, 1)}\n`, { mode: 0o644 })
  await rename(`${path}.new`, path)
}

/** Throws an Error that names the first thing wrong. Keys that this version does not know are let be. */
export function parseRoutes(text: string): Route[] {
  const document: unknown = JSON.parse(text)
  if (!isRecord(document) || !Array.isArray(document['routes'])) throw new Error('There is no list "routes"')
  const routes = document['routes'].map((route: unknown, index) => parseRoute(route, `routes[${index}]`))
  const apps = new Set(routes.map(({ app }) => app))
  if (apps.size < routes.length) throw new Error('An app has two routes')
  return routes
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parseRoute(value: unknown, where: string): Route {
  if (!isRecord(value)) throw new Error(`${where} is not an object`)
  const { app, listen, target, paused, holdTimeoutMs, guardedPorts = [] } = value
  if (typeof app !== 'string' || app === '') throw new Error(`${where}.app is not a name`)
  if (typeof paused !== 'boolean') throw new Error(`${where}.paused is not a boolean`)
  if (typeof holdTimeoutMs !== 'number' || !(holdTimeoutMs >= 0))
    throw new Error(`${where}.holdTimeoutMs is not a number of milliseconds`)
  if (!Array.isArray(guardedPorts) || !guardedPorts.every(isPort))
    throw new Error(`${where}.guardedPorts is not a list of ports`)
  return {
    app,
    listen: parseAddress(listen, `${where}.listen`),
    target: target === null ? null : parseTarget(target, `${where}.target`),
    paused,
    holdTimeoutMs,
    guardedPorts,
  }
}

function parseTarget(value: unknown, where: string): Target {
  const slot = isRecord(value) ? value['slot'] : undefined
  if (slot !== 'blue' && slot !== 'green') throw new Error(`${where}.slot is neither blue nor green`)
  return { slot, ...parseAddress(value, where) }
}

export function parseAddress(value: unknown, where: string): ListenAddress {
  if (!isRecord(value)) throw new Error(`${where} is not an object`)
  const { host, port } = value
  if (typeof host !== 'string' || isIP(host) === 0) throw new Error(`${where}.host is not an address`)
  if (!isPort(port)) throw new Error(`${where}.port is not a port`)
  return { host, port }
}

function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535
}
