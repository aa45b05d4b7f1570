import { isAbsolute, relative } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import type { Slot } from '../../core/app.ts'
import { joinCommand, splitCommand } from '../../core/command-words.ts'
import { DorcError } from '../../core/errors.ts'
import type { Answers, SlotAnswers } from './answers.ts'
import { DEFAULT_START } from './answers.ts'

/**
 * Files of the original dorc (0.3). Its two services stand under `active_service` and `inactive_service`, in older
 * ones under `subservices`; it copied the executable to /usr/local/bin/SLOT-APP and called that in its commands.
 */

type Table = Readonly<Record<string, unknown>>

/** What an original's file says, as answers; null: it is not one, or not TOML at all. */
export function originalAnswers(toml: string): Answers | null {
  const file = parsed(toml)
  const { app_name: name, release_dir: uploadDir, release_bin: binary, listen_port: listen } = file
  if (typeof name !== 'string' || typeof uploadDir !== 'string' || typeof binary !== 'string') return null
  const services = servicesOf(file)
  return {
    name,
    uploadDir,
    executable: isAbsolute(binary) ? relative(uploadDir, binary) : binary,
    listen: String(listen),
    autoSwitch: false,
    slots: { blue: slotAnswers('blue', name, services), green: slotAnswers('green', name, services) },
  }
}

function parsed(toml: string): Table {
  try {
    return parse(toml)
  } catch (error) {
    // The daemon tells what is wrong with it, and where.
    if (error instanceof TomlError) return {}
    throw error
  }
}

function servicesOf({ active_service: active, inactive_service: inactive, subservices }: Table): Table[] {
  return [active, inactive, ...Object.values(isTable(subservices) ? subservices : {})].filter(isTable)
}

const isTable = (value: unknown): value is Table => typeof value === 'object' && value !== null

function slotAnswers(slot: Slot, app: string, services: readonly Table[]): SlotAnswers {
  const unit = `${slot}-${app}`
  const service = services.find(({ qualified_name: name }) => name === unit)
  if (typeof service?.['working_dir'] !== 'string' || typeof service['port'] !== 'number') {
    throw new DorcError('DEFINITION_INVALID', `The file of the original dorc says nothing of "${unit}"`, {
      hint: `Register it anew: dorc register ${app}`,
    })
  }
  const { working_dir: workingDir, port, on_start: start, on_stop: stop, on_reload: reload } = service
  return {
    workingDir,
    port,
    start: command(start, unit) ?? DEFAULT_START,
    // Its proposal, killall, is what the supervisor does better.
    stop: String(first(stop)).startsWith('killall ') ? '' : (command(first(stop), unit) ?? ''),
    reload: command(first(reload), unit) ?? '',
  }
}

const first = (commands: unknown): unknown => (Array.isArray(commands) ? commands[0] : undefined)

/** systemd looked programs up in its own path; here they are called by theirs. */
function command(text: unknown, unit: string): string | null {
  const split = typeof text === 'string' ? splitCommand(text) : null
  if (split === null || !split.ok) return null
  const [program, ...rest] = split.words
  if (program === undefined) return null
  if (program === unit || program === `/usr/local/bin/${unit}`) return joinCommand([DEFAULT_START, ...rest])
  return joinCommand(isAbsolute(program) ? split.words : ['/usr/bin/env', ...split.words])
}
