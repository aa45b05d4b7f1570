import { MANAGER_PATH } from './bus.ts'

const UNITS = `${MANAGER_PATH}/unit/`

/** The bus object of a unit (sd_bus_path_encode(3)): all but letters and digits is written as `_` and two hex digits. */
export function unitObjectPath(unit: string): string {
  const escaped = [...Buffer.from(unit)].map((byte, index) => {
    const character = String.fromCharCode(byte)
    const isPlain = /[A-Za-z]/.test(character) || (index > 0 && /\d/.test(character))
    return isPlain ? character : `_${byte.toString(16).padStart(2, '0')}`
  })
  return UNITS + escaped.join('')
}

/** The unit that a bus object stands for; null if it is no unit. */
export function unitOfObjectPath(path: string): string | null {
  if (!path.startsWith(UNITS)) return null
  return path
    .slice(UNITS.length)
    .replaceAll(/_([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
