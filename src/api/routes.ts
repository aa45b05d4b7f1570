import * as z from 'zod'
import { DorcError, type ErrorCode } from '../core/errors.ts'
import type { Actions, Caller } from './actions.ts'
import {
  closeCommand,
  deployCommand,
  registerRequest,
  removeCommand,
  rollbackCommand,
  runCommand,
  switchCommand,
} from './protocol.ts'

/** `root` defines what runs; whoever may open the socket may use the rest. */
export type Role = 'operator' | 'root'

export interface Call {
  /** The app's name in the path, if the route has one. */
  readonly app: string
  readonly query: URLSearchParams
  readonly body: unknown
  readonly caller: Caller
}

export type Answer =
  | { readonly kind: 'document'; readonly document: Promise<unknown> }
  | { readonly kind: 'stream'; readonly lines: AsyncIterable<unknown> }

export interface RouteEntry {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** With APP for the one variable part. */
  readonly path: string
  readonly role: Role
  readonly answer: (actions: Actions, call: Call) => Answer
}

const document = (value: unknown): Answer => ({ kind: 'document', document: Promise.resolve(value) })
const stream = (lines: AsyncIterable<unknown>): Answer => ({ kind: 'stream', lines })

export const routes: readonly RouteEntry[] = [
  { method: 'GET', path: '/v1/version', role: 'operator', answer: (actions) => document(actions.version()) },
  { method: 'GET', path: '/v1/apps', role: 'operator', answer: (actions) => document(actions.status()) },
  {
    method: 'POST',
    path: '/v1/apps',
    role: 'root',
    answer: (actions, { body, caller }) => document(actions.register(parse(registerRequest, body), caller)),
  },
  {
    method: 'POST',
    path: '/v1/check',
    role: 'operator',
    answer: (actions, { body }) => document(actions.check(parse(registerRequest, body))),
  },
  {
    method: 'GET',
    path: '/v1/apps/APP',
    role: 'operator',
    answer: (actions, { app }) => document(actions.appStatus(app)),
  },
  {
    method: 'DELETE',
    path: '/v1/apps/APP',
    role: 'root',
    answer: (actions, { app, body, caller }) =>
      document(actions.remove(app, parse(removeCommand, body), caller)),
  },
  {
    method: 'POST',
    path: '/v1/apps/APP/deploys',
    role: 'operator',
    answer: (actions, { app, body, caller }) =>
      stream(actions.deploy(app, parse(deployCommand, body), caller)),
  },
  {
    method: 'POST',
    path: '/v1/apps/APP/switch',
    role: 'operator',
    answer: (actions, { app, body, caller }) =>
      stream(actions.switch(app, parse(switchCommand, body), caller)),
  },
  {
    method: 'POST',
    path: '/v1/apps/APP/rollback',
    role: 'operator',
    answer: (actions, { app, body, caller }) =>
      stream(actions.rollback(app, parse(rollbackCommand, body), caller)),
  },
  {
    method: 'POST',
    path: '/v1/apps/APP/run',
    role: 'operator',
    answer: (actions, { app, body, caller }) => document(actions.run(app, parse(runCommand, body), caller)),
  },
  {
    method: 'POST',
    path: '/v1/apps/APP/load',
    role: 'root',
    answer: (actions, { app, caller }) => document(actions.load(app, caller)),
  },
  {
    method: 'GET',
    path: '/v1/apps/APP/releases',
    role: 'operator',
    answer: (actions, { app }) => document(actions.releases(app).then((releases) => ({ releases }))),
  },
  {
    method: 'GET',
    path: '/v1/apps/APP/why',
    role: 'operator',
    answer: (actions, { app, query }) => {
      const { slot } = parse(slotOnlyQuery, Object.fromEntries(query))
      return document(actions.why(app, slot))
    },
  },
  {
    method: 'GET',
    path: '/v1/apps/APP/verify',
    role: 'operator',
    answer: (actions, { app, query }) => {
      const { release } = parse(verifyQuery, Object.fromEntries(query))
      return document(actions.verify(app, release).then((releases) => ({ releases })))
    },
  },
  {
    method: 'GET',
    path: '/v1/apps/APP/connections',
    role: 'operator',
    answer: (actions, { app, query }) => {
      const { slot } = parse(slotOnlyQuery, Object.fromEntries(query))
      return document(actions.connections(app, slot).then((connections) => ({ connections })))
    },
  },
  {
    method: 'POST',
    path: '/v1/apps/APP/close',
    role: 'operator',
    answer: (actions, { app, body, caller }) => stream(actions.close(app, parse(closeCommand, body), caller)),
  },
  {
    method: 'GET',
    path: '/v1/apps/APP/logs',
    role: 'operator',
    answer: (actions, { app, query, caller }) => {
      const { slot, ...options } = parse(logsQuery, Object.fromEntries(query))
      return stream(actions.logs(app, slot, options, caller))
    },
  },
  {
    method: 'GET',
    path: '/v1/events',
    role: 'operator',
    answer: (actions, { query, caller }) => {
      const { app, ...options } = parse(eventsQuery, Object.fromEntries(query))
      return stream(actions.events(app, options, caller))
    },
  },
]

const streamQuery = {
  lines: z.coerce.number().int().min(0).max(100_000).default(20),
  follow: z
    .enum(['true', 'false'])
    .default('false')
    .transform((text) => text === 'true'),
}
const slotQuery = z.enum(['blue', 'green']).nullable().default(null)
const logsQuery = z.strictObject({ ...streamQuery, slot: slotQuery })
const slotOnlyQuery = z.strictObject({ slot: slotQuery })
const verifyQuery = z.strictObject({ release: z.coerce.number().int().positive().nullable().default(null) })
const eventsQuery = z.strictObject({ ...streamQuery, app: z.string().nullable().default(null) })

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw new DorcError(
    'REQUEST_INVALID',
    `Malformed request: ${z.prettifyError(result.error).replaceAll('\n', ' ')}`,
    {
      hint: 'See docs/api.md, or use a dorc of the same version as the daemon',
    },
  )
}

export interface Match {
  readonly route: RouteEntry
  readonly app: string
}

/** Throws REQUEST_INVALID when no route has that method and path. */
export function findRoute(method: string, pathname: string): Match {
  const parts = pathname.split('/')
  for (const route of routes) {
    const wanted = route.path.split('/')
    const fits =
      wanted.length === parts.length && wanted.every((part, at) => part === 'APP' || part === parts[at])
    if (!fits || route.method !== method) continue
    const at = wanted.indexOf('APP')
    return { route, app: at < 0 ? '' : decodePart(parts[at] ?? '') }
  }
  throw new DorcError('REQUEST_INVALID', `No such call: ${method} ${pathname.slice(0, 200)}`)
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch (error) {
    throw new DorcError('REQUEST_INVALID', `Malformed path part "${part.slice(0, 100)}"`, { cause: error })
  }
}

/** The status that an error is answered with; codes not named here are 500. */
export function httpStatus(code: ErrorCode): number {
  return statusByCode[code] ?? 500
}

const statusByCode: Partial<Record<ErrorCode, number>> = {
  REQUEST_INVALID: 400,
  USAGE: 400,
  NAME_INVALID: 422,
  DEFINITION_INVALID: 422,
  PATH_INVALID: 422,
  RELEASE_INVALID: 422,
  RELEASE_EMPTY: 422,
  SIGNATURE_INVALID: 422,
  UPLOAD_MISSING: 422,
  FORBIDDEN: 403,
  APP_UNKNOWN: 404,
  RELEASE_UNKNOWN: 404,
  APP_EXISTS: 409,
  PORT_TAKEN: 409,
  NOT_READY: 409,
  NOT_ADMITTED: 409,
  RELOAD_UNDEFINED: 409,
  BUSY: 409,
  RELEASE_BAD: 409,
  NOTHING_DEPLOYED: 409,
  NOTHING_NEW: 409,
  UPLOAD_CHANGING: 409,
  CONFLICT: 412,
  DISK_FULL: 507,
}
