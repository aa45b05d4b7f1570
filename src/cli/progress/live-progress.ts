import type { ProgressLine } from '../../api/protocol.ts'
import { noPaint, type Paint } from '../paint.ts'
import { plainText } from '../plain-text.ts'
import { counted, formatDuration } from '../quantity.ts'
import { LiveLine } from './live-line.ts'
import { isPassing, progressText } from './progress-text.ts'

/** A deploy on a terminal: what was done stays, what is being done is one line with the time it takes. */
export class LiveProgress implements Disposable {
  readonly #live = new LiveLine(process.stdout)
  readonly #paint: Paint
  #phase = ''
  #since = Date.now()
  #deadline: number | null = null
  #probes = new ProbeCount()

  constructor(paint: Paint) {
    this.#paint = paint
    this.#live.show(() => this.#text())
  }

  /** `deadline` (ISO) is when the phase that `line` begins times out. */
  show(line: ProgressLine, deadline: string | null): void {
    if (line.kind === 'probe') {
      this.#probes.add(line)
      return
    }
    const text = progressText(line, this.#paint)
    if (text === null) return
    if (!isPassing(line)) this.#live.keep(`${this.#paint.dim('•')} ${text}`)
    const isSamePhase = line.kind === 'take-in' && this.#phase !== ''
    if (!isSamePhase) this.#since = Date.now()
    const isDone = line.kind === 'taken-in' || line.kind === 'receipt'
    this.#phase = isDone ? '' : (progressText(line, noPaint) ?? '')
    this.#deadline = deadline === null ? null : Date.parse(deadline)
    this.#probes = new ProbeCount()
  }

  #text(): string {
    if (this.#phase === '') return ''
    const now = Date.now()
    const time =
      this.#deadline === null
        ? formatDuration(now - this.#since)
        : `${formatDuration(this.#deadline - now)} left`
    const probes = this.#probes.text()
    return probes === '' ? `${this.#phase}, ${time}` : `${probes}, ${time}`
  }

  [Symbol.dispose](): void {
    this.#live[Symbol.dispose]()
  }
}

/** The probes of one phase. */
class ProbeCount {
  #newest: Extract<ProgressLine, { kind: 'probe' }> | null = null
  #passed = 0

  add(probe: Extract<ProgressLine, { kind: 'probe' }>): void {
    this.#newest = probe
    this.#passed = probe.ok ? this.#passed + 1 : 0
  }

  text(): string {
    if (this.#newest === null) return ''
    const { slot, ok, detail } = this.#newest
    const passed = ok ? `${counted(this.#passed, 'probe')} passed` : 'not yet'
    return `Probing ${slot}: ${passed}, ${plainText(detail)}`
  }
}
