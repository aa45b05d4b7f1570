/** What one unit's properties were at one moment (org.freedesktop.systemd1(5)). */
export class UnitProperties {
  readonly unit: string
  readonly #values: Readonly<Record<string, unknown>>

  constructor(unit: string, values: unknown) {
    if (typeof values !== 'object' || values === null) throw new TypeError(`${unit} has no properties`)
    this.unit = unit
    this.#values = values as Record<string, unknown>
  }

  /** '' if there is no such property. */
  text(name: string): string {
    const value = this.#values[name]
    return typeof value === 'string' ? value : ''
  }

  /** 0 if there is no such property. */
  number(name: string): number {
    const value = this.#values[name]
    return typeof value === 'bigint' || typeof value === 'number' ? Number(value) : 0
  }

  flag(name: string): boolean {
    return this.#values[name] === true
  }

  list(name: string): readonly unknown[] {
    const value = this.#values[name]
    return Array.isArray(value) ? value : []
  }

  texts(name: string): string[] {
    return this.list(name).filter((value) => typeof value === 'string')
  }

  bytes(name: string): Buffer {
    const value = this.#values[name]
    return Buffer.isBuffer(value) ? value : Buffer.alloc(0)
  }

  /** A counter that systemd does not keep has the largest 64-bit number. */
  counter(name: string): number | null {
    const value = this.#values[name]
    return typeof value !== 'bigint' || value === 0xffff_ffff_ffff_ffffn ? null : Number(value)
  }

  /** ISO time; null if it never happened. */
  time(name: string): string | null {
    const microseconds = this.number(name)
    return microseconds === 0 ? null : new Date(microseconds / 1000).toISOString()
  }

  /** Words of the first command of an Exec…= property. */
  argv(name: string): string[] {
    const [command] = this.list(name) as [path: string, argv: string[]][]
    return command === undefined ? [] : [...command[1]]
  }

  environment(variable: string): string | null {
    const entry = this.texts('Environment').findLast((text) => text.startsWith(`${variable}=`))
    return entry === undefined ? null : entry.slice(variable.length + 1)
  }
}
