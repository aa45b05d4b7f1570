import { Agent, get } from 'node:http'
import { connect, type Socket } from 'node:net'

/** Visitors of the demo: half of them keep their connection, half connect anew for each request. */
export class Load {
  readonly failures: string[] = []
  /** Releases that answered. */
  readonly seen = new Set<string>()
  requests = 0
  worstStallMs = 0
  readonly #port: number
  readonly #visitors: number
  #isStopping = false
  #running: Promise<unknown> = Promise.resolve()

  constructor(port: number, visitors: number) {
    this.#port = port
    this.#visitors = visitors
  }

  start(): void {
    this.#running = Promise.all(
      Array.from({ length: this.#visitors }, (_, index) => this.#visit(index % 2 === 0)),
    )
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#running
  }

  async #visit(keepsConnection: boolean): Promise<void> {
    const agent = new Agent({ keepAlive: keepsConnection, maxSockets: 1 })
    while (!this.#isStopping) {
      const startedAt = performance.now()
      try {
        this.seen.add(await this.#ask(agent))
      } catch (error) {
        this.failures.push(error instanceof Error ? error.message : String(error))
      }
      this.requests += 1
      this.worstStallMs = Math.max(this.worstStallMs, performance.now() - startedAt)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    agent.destroy()
  }

  #ask(agent: Agent): Promise<string> {
    return new Promise((resolve, reject) => {
      const request = get({ host: '127.0.0.1', port: this.#port, agent, timeout: 10_000 }, (response) => {
        response.on('error', reject)
        response.on('end', () => {
          if (response.statusCode === 200) resolve(String(response.headers['x-release']))
          else reject(new Error(`HTTP ${response.statusCode}`))
        })
        response.resume()
      })
      request.on('timeout', () => request.destroy(new Error('no answer in 10 s')))
      request.on('error', reject)
    })
  }
}

/** Connections that were opened before the switches and have to outlive them. */
export class Talkers {
  readonly #sockets: readonly Socket[]

  constructor(sockets: readonly Socket[]) {
    this.#sockets = sockets
  }

  static async connect(port: number, count: number): Promise<Talkers> {
    return new Talkers(await Promise.all(Array.from({ length: count }, () => upgrade(port))))
  }

  /** How many still answer on the connection that they opened at the beginning. */
  async countAlive(): Promise<number> {
    const alive = await Promise.all(this.#sockets.map((socket) => answersStill(socket)))
    return alive.filter(Boolean).length
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

function upgrade(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', reject)
    socket.once('data', () => {
      socket.off('error', reject)
      // A broken connection is found out by countAlive().
      socket.on('error', () => socket.destroy())
      resolve(socket)
    })
    socket.write('GET /talk HTTP/1.1\r\nHost: demo\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n')
  })
}

function answersStill(socket: Socket): Promise<boolean> {
  if (socket.destroyed) return Promise.resolve(false)
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), 5_000)
    socket.once('data', (data) => {
      clearTimeout(timer)
      resolve(data.toString().includes('still there'))
    })
    socket.once('close', () => resolve(false))
    socket.write('still there?\n')
  })
}
