import type { DaemonClient } from '../../api/client.ts'
import type { RegisterRequest } from '../../api/protocol.ts'
import { DorcError } from '../../core/errors.ts'

/** What an operator gave the definition by. */
export type Source = { readonly kind: 'flags' } | { readonly kind: 'file'; readonly path: string }

/**
 * Throws DEFINITION_INVALID in the words of what was given: the daemon knows only the file that is to be written. What has no
 * key, a port that somebody holds for example, is told by `register` itself.
 */
export async function refuseProblems(
  daemon: DaemonClient,
  request: RegisterRequest,
  source: Source,
): Promise<void> {
  const { problems } = await daemon.check(request)
  const texts = problems.flatMap(({ line, key, message }) =>
    key === null && line === null ? [] : [`${whereText(source, { line, key })} ${message}`],
  )
  const [first, ...others] = texts
  if (first === undefined) return
  const what =
    source.kind === 'file'
      ? `"${source.path}" is not a valid definition: `
      : `Cannot register "${request.name}": `
  const more = others.length === 0 ? '' : `; and ${others.length} more`
  throw new DorcError('DEFINITION_INVALID', `${what}${first}${more}`, {
    hint: [
      ...others,
      source.kind === 'file' ? 'All keys: docs/configuration.md' : 'See: dorc register --help',
    ].join('\n'),
  })
}

function whereText(source: Source, { line, key }: { line: number | null; key: string | null }): string {
  if (source.kind === 'flags') return flagOf(key ?? '')
  return [line === null ? [] : `line ${line}:`, key ?? []].flat().join(' ')
}

/** `blue.port` is given by --blue-port, and `blue.start`, like `start`, by --start. */
function flagOf(key: string): string {
  const shared = /^(?:blue|green)\.(start|stop|reload|executable)$/.exec(key)?.[1]
  return `--${(shared ?? key).replaceAll(/[._]/g, '-')}`
}
