import { shorten } from '../table.ts'

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const FRAME_MS = 100

/** The last line of a terminal, written over as work goes on; lines that are to stay are printed above it. */
export class LiveLine implements Disposable {
  readonly #stream: NodeJS.WriteStream
  readonly #timer: NodeJS.Timeout
  #text: () => string = () => ''
  #frame = 0

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
    this.#timer = setInterval(() => this.#draw(), FRAME_MS)
  }

  /** `text`, without colours, is asked for again with each frame: seconds go by. */
  show(text: () => string): void {
    this.#text = text
    this.#draw()
  }

  keep(line: string): void {
    this.#stream.write(`\r\u001b[K${line}\n`)
    this.#draw()
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#stream.write('\r\u001b[K')
  }

  #draw(): void {
    const text = this.#text()
    if (text === '') return
    this.#frame = (this.#frame + 1) % FRAMES.length
    const columns = this.#stream.columns || 80
    this.#stream.write(`\r\u001b[K${FRAMES[this.#frame]} ${shorten(text, columns - 3)}`)
  }
}
