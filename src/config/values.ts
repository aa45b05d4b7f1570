import { isIP } from 'node:net'
import * as z from 'zod'
import { splitCommand, type Words } from '../core/command-words.ts'
import type { ListenAddress } from '../core/definition.ts'
import { parseDuration } from '../core/durations.ts'
import { DorcError } from '../core/errors.ts'
import { listedPath, programPath, quoted, userName } from '../core/unit-syntax.ts'

/**
 * The kinds of values in an app's file. Their messages go on after the name of the key: `bake must be …`. What ends in
 * a unit is judged by the writer of units, so that nothing is accepted here and refused at the first deploy.
 */

export const flag = z.boolean('must be true or false')

export const plainText = z
  .string('must be text in quotes')
  .refine(accepts(quoted), 'must not have control characters')

/** Doubled slashes, `.` and a slash at the end are taken out: a path that Tab completed ends in one. */
export const absolutePath = plainText
  .refine((path) => path.startsWith('/'), 'must be an absolute path')
  .refine((path) => !path.split('/').includes('..'), 'must not have ".." in it')
  .transform((path) => `/${simpleParts(path).join('/')}`)

/** A path that the sandbox has to name. */
export const pathInUnit = absolutePath.refine(
  accepts(listedPath),
  'must not have quotes, backslashes or colons in it, nor a space at its end',
)

export const pathInRelease = plainText
  .refine(
    (path) => !path.startsWith('/') && !path.split('/').includes('..'),
    'must be a path inside the release',
  )
  .transform((path) => simpleParts(path).join('/'))
  .refine((path) => path !== '', 'must be a path inside the release')

export const user = z
  .string('must be the name of a user')
  .refine(accepts(userName), 'must be the name of a user')

const NO_DURATION = 'must be a duration such as "2s", "500ms" or "1min"'
const LONGEST_MS = 365 * 24 * 3_600_000

/** Milliseconds. */
export const duration = (atLeast = '0s') =>
  z.union([z.string(), z.number()], NO_DURATION).transform((text, context) => {
    const ms = parseDuration(text)
    const problem = ms === null ? NO_DURATION : durationProblem(ms, atLeast)
    if (problem !== null) context.addIssue({ code: 'custom', message: problem })
    return ms ?? 0
  })

function durationProblem(ms: number, atLeast: string): string | null {
  if (ms < (parseDuration(atLeast) ?? 0)) return `must be at least ${atLeast}`
  return ms > LONGEST_MS ? 'must be at most 365d' : null
}

const NO_PERCENT = 'must be percent of one core, such as "50%" or "200%"'
const NO_SIZE = 'must be a size such as "500M" or "10G"'

/** Bytes; units of 1024, as systemd has them. */
export const size = z.string(NO_SIZE).transform((text, context) => {
  const [, digits = '', unit = ''] = /^([1-9][0-9]{0,9})([KMGT]?)$/.exec(text) ?? []
  if (digits === '') context.addIssue({ code: 'custom', message: NO_SIZE })
  return Number(digits) * 1024 ** ['', 'K', 'M', 'G', 'T'].indexOf(unit)
})

/** Percent of one core. */
export const percent = z
  .string(NO_PERCENT)
  .regex(/^[1-9][0-9]{0,4}%$/, NO_PERCENT)
  .transform((text) => Number(text.slice(0, -1)))

export const wholeNumber = (from: number, to: number) =>
  z.int('must be a whole number').min(from, `must be ${from} to ${to}`).max(to, `must be ${from} to ${to}`)

/** The words of a command, `{executable}` and the like still in them. */
export const command = z
  .union([z.string(), z.array(z.string())], 'must be a command in quotes, or an array of its words')
  .transform((given, context) => {
    const split = wordsOf(given)
    if (split.ok) return split.words
    context.addIssue({ code: 'custom', message: split.problem })
    return z.NEVER
  })

function wordsOf(given: string | readonly string[]): Words {
  const split: Words = typeof given === 'string' ? splitCommand(given) : { ok: true, words: [...given] }
  if (!split.ok) return { ok: false, problem: `cannot be split into words: ${split.problem}` }
  const problem = commandProblem(typeof given === 'string' ? [given] : given, split.words)
  return problem === null ? split : { ok: false, problem }
}

function commandProblem(texts: readonly string[], [program, ...words]: readonly string[]): string | null {
  if (!texts.every(accepts(quoted))) return 'must not have control characters'
  if (program === undefined) return 'must not be empty'
  if (program === '{executable}' || accepts(programPath)(program.replace(/^\{dir\}(?=\/)/, ''))) return null
  const hint =
    words.length > 0 || !program.includes(' ') ? '' : '; in an array each word is an item of its own'
  return `must begin with {executable}, {dir}/… or the absolute path of a program${hint}`
}

const NO_LISTEN_ADDRESS = 'must be a port (1 to 65535), "address:port" or "[IPv6 address]:port"'

/** `8080` listens on every IPv4 address; `[::]:8080` on every address of both kinds. */
export const listenAddress = z
  .union([z.string(), z.number()], NO_LISTEN_ADDRESS)
  .transform((text, context) => {
    const address = parseListen(String(text))
    if (address !== null) return address
    context.addIssue({ code: 'custom', message: NO_LISTEN_ADDRESS })
    return z.NEVER
  })

function parseListen(text: string): ListenAddress | null {
  const [, bracketed, plain, digits] = /^(?:\[([^\]%]+)\]:|([^:[\]]+):)?([1-9]\d{0,4})$/.exec(text) ?? []
  const port = Number(digits)
  if (!(port <= 65_535)) return null
  if (bracketed === undefined) {
    const host = plain ?? '0.0.0.0'
    return isIP(host) === 4 ? { host, port } : null
  }
  return isIP(bracketed) === 6 ? { host: canonicalIpv6(bracketed), port } : null
}

/** `0::0` is the wildcard as well as `::`; only one of them may be seen from here on. */
const canonicalIpv6 = (host: string): string => new URL(`http://[${host}]`).hostname.slice(1, -1)

const simpleParts = (path: string): string[] => path.split('/').filter((part) => part !== '' && part !== '.')

/** Whether a writer of units takes the text, which it refuses by throwing. */
function accepts(write: (text: string) => string): (text: string) => boolean {
  return (text) => {
    try {
      write(text)
      return true
    } catch (error) {
      if (error instanceof DorcError) return false
      throw error
    }
  }
}
