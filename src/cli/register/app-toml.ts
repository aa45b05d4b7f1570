import { stringify } from 'smol-toml'
import type { Slot } from '../../core/app.ts'
import { defaultUploadDir, defaultWorkingDir, type Paths } from '../../platform/paths.ts'
import { type Answers, DEFAULT_START, type SlotAnswers } from './answers.ts'

/** The text of an app's file: what has to be in it, what is not the default, and what an editor of it wants to know. */
export function appToml(answers: Answers, paths: Paths): string {
  const { name, listen, uploadDir, executable, autoSwitch, slots } = answers
  const { blue, green } = slots
  const lines = [
    `# ${name}: how dorc runs it. After an edit: dorc load ${name}`,
    ...keyLine('listen', listen, 'where the world connects'),
    ...(uploadDir === defaultUploadDir(paths, name)
      ? []
      : keyLine('upload_dir', uploadDir, 'what appears here is deployed')),
    ...keyLine('executable', executable, 'inside the release'),
    ...(autoSwitch ? keyLine('auto_switch', true, 'without waiting for dorc switch') : []),
  ]
  for (const key of ['start', 'stop', 'reload'] as const) {
    if (blue[key] === green[key] && blue[key] !== defaults[key]) lines.push(...keyLine(key, blue[key]))
  }
  return `${[...lines, ...slotLines('blue', answers, paths), ...slotLines('green', answers, paths)].join('\n')}\n`
}

const defaults: Readonly<Record<'start' | 'stop' | 'reload', string>> = {
  start: DEFAULT_START,
  stop: '',
  reload: '',
}

function slotLines(slot: Slot, { name, slots }: Answers, paths: Paths): string[] {
  const own: SlotAnswers = slots[slot]
  const { blue, green } = slots
  const lines = ['', `[${slot}]`, ...keyLine('port', own.port)]
  if (own.workingDir !== defaultWorkingDir(paths, name, slot)) {
    lines.push(...keyLine('dir', own.workingDir))
  }
  for (const key of ['start', 'stop', 'reload'] as const) {
    if (blue[key] !== green[key] && own[key] !== defaults[key]) lines.push(...keyLine(key, own[key]))
  }
  return lines
}

function keyLine(key: string, value: string | number | boolean, comment?: string): string[] {
  const text = stringify({ [key]: value }).trimEnd()
  return [comment === undefined ? text : `${text.padEnd(40)} # ${comment}`]
}
