import { describeError } from '../core/errors.ts'

export type LogFields = Readonly<Record<string, unknown>>

/** One line per event, in the past tense, to stdout; journald reads the `<N>` prefix as the priority (sd-daemon(3)). */
export interface Logger {
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
  child(fields: LogFields): Logger
}

export function stdoutLogger(fields: LogFields = {}): Logger {
  const write = (priority: 3 | 4 | 6, event: string, extra: LogFields = {}): void => {
    const line = JSON.stringify({ event, ...fields, ...extra }, (_key, value: unknown) =>
      value instanceof Error ? describeError(value) : value,
    )
    process.stdout.write(`${process.env['JOURNAL_STREAM'] === undefined ? '' : `<${priority}>`}${line}\n`)
  }
  return {
    info: (event, extra) => write(6, event, extra),
    warn: (event, extra) => write(4, event, extra),
    error: (event, extra) => write(3, event, extra),
    child: (extra) => stdoutLogger({ ...fields, ...extra }),
  }
}
