import { DorcError } from './errors.ts'

/** Names become file names, unit names and user names: nothing in them may mean anything to any of those. */
const APP_NAME = /^[a-z][a-z0-9]*([-.][a-z0-9]+)*$/
const LONGEST_NAME = 48

/** What the data plane knows an app's preview address by; no app can have that name. */
export const previewRouteName = (app: string): string => `${app}_preview`

/** Whose route that is, be it of the listen or of the preview address. */
export const appOfRoute = (route: string): string => route.replace(/_preview$/, '')

/** Throws NAME_INVALID with what is wrong and a name that would do. */
export function checkAppName(name: string): void {
  const problem = nameProblem(name)
  if (problem === null) return
  const proposal = proposeName(name)
  throw new DorcError('NAME_INVALID', `"${printable(name)}" is no app name: ${problem}`, {
    hint:
      proposal === null
        ? 'Use lower-case letters, digits, and single - or . between them'
        : `Try: ${proposal}`,
  })
}

function nameProblem(name: string): string | null {
  if (name === '') return 'it is empty'
  if (name.length > LONGEST_NAME) return `it has more than ${LONGEST_NAME} characters`
  if (APP_NAME.test(name)) return null
  const [strange] = /[^a-z0-9.-]/u.exec(name) ?? []
  if (strange !== undefined)
    return `only lower-case letters, digits, - and . may be in it, not "${printable(strange)}"`
  return /^[a-z]/.test(name)
    ? 'each - and . must stand between letters or digits'
    : 'it must begin with a letter'
}

function proposeName(name: string): string | null {
  const proposal = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9.]+/g, '-')
    .replaceAll(/[-.]*\.[-.]*/g, '.')
    .replace(/^[^a-z]+/, '')
    .slice(0, LONGEST_NAME)
    .replace(/[-.]+$/, '')
  return APP_NAME.test(proposal) ? proposal : null
}

/** Of bad input only what cannot upset a terminal is repeated. */
function printable(text: string): string {
  return text.slice(0, 60).replaceAll(/[^\x20-\x7e]/gu, '?')
}
