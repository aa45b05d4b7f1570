import { Agent, get } from 'node:http'
import { connect, type Socket } from 'node:net'

/** People who use an app through its public address while a test does something to it. */
export interface Visitors {
  stop(): Promise<{ readonly answers: number; readonly failures: readonly string[] }>
  /** Opens connections that stay, each of which the app has answered on once. */
  withKept(
    count: number,
  ): Promise<AsyncDisposable & { readonly kept: number; readonly sockets: readonly Socket[] }>
}

/** `count` of them, each asking again as soon as he was answered, on a connection of its own each time. */
export function keepAsking(port: number, count: number): Visitors {
  const failures: string[] = []
  let answers = 0
  const end = new AbortController()
  const visit = async (): Promise<void> => {
    while (!end.signal.aborted) {
      try {
        await ask(port)
        answers += 1
      } catch (error) {
        failures.push(String(error))
      }
    }
  }
  const running = Promise.all(Array.from({ length: count }, visit))
  return {
    async stop() {
      end.abort()
      await running
      return { answers, failures }
    },
    async withKept(kept) {
      const sockets = await Promise.all(Array.from({ length: kept }, () => keep(port)))
      return {
        kept,
        sockets,
        async [Symbol.asyncDispose]() {
          for (const socket of sockets) socket.destroy()
          end.abort()
          await running
        },
      }
    },
  }
}

function ask(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const agent = new Agent({ keepAlive: false })
    const request = get({ host: '127.0.0.1', port, agent }, (response) => {
      response.resume().once('end', resolve).once('error', reject)
    })
    request.once('error', reject)
  })
}

function keep(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', reject)
    socket.once('data', () => {
      socket.off('error', reject)
      socket.on('error', () => socket.destroy())
      resolve(socket)
    })
    socket.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n')
  })
}
