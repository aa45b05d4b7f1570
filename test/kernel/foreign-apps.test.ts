import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { extent } from '../extent.ts'
import { EmbeddedDorc } from '../integration/embedded-dorc.ts'
import { enterOwnNetwork } from './network.ts'
import { SteeredApp } from './steered-app.ts'

/** Programs of the world as apps of a whole dorc that steers, each used as its own clients use it. */
const HOST = '127.0.0.1'
const SWITCHES = extent(5, 50)
const run = promisify(execFile)

let dorc: EmbeddedDorc

before(async () => {
  enterOwnNetwork()
  dorc = await EmbeddedDorc.start()
})
after(() => dorc[Symbol.asyncDispose]())

/** One line at a time, as it comes. */
class Lines {
  readonly socket: Socket
  #text = ''
  #wake: () => void = () => undefined

  constructor(port: number) {
    this.socket = connect({ host: HOST, port })
    this.socket.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text
      this.#wake()
    })
    this.socket.on('close', () => this.#wake())
  }

  async next(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf('\r\n')
      if (end >= 0) {
        const line = this.#text.slice(0, end)
        this.#text = this.#text.slice(end + 2)
        return line
      }
      if (this.socket.destroyed) throw new Error('The connection was closed')
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  async until(wanted: string): Promise<void> {
    while ((await this.next()) !== wanted) continue
  }
}

const redis = async (port: number, ...words: string[]): Promise<string> =>
  (await run('redis-cli', ['-p', String(port), ...words])).stdout.trim()

test('redis: a subscriber hears all, and a pipeline is answered whole and in order, over switches', async () => {
  const app = await SteeredApp.register(dorc, {
    name: 'cache',
    files: { 'redis.conf': 'save ""\nappendonly no\n' },
    start: '/usr/bin/redis-server {executable} --port {port} --bind 127.0.0.1 --dir {dir}',
  })
  const subscriber = new Lines(app.port)
  subscriber.socket.write('SUBSCRIBE news\r\n')
  await subscriber.until(':1')
  const pipeline = new Lines(app.port)
  let sent = 0
  for (let count = 0; count < SWITCHES; count += 1) {
    for (let index = 0; index < 1_000; index += 1, sent += 1) pipeline.socket.write('INCR counter\r\n')
    await app.switch()
    const other = count % 2 === 0 ? 'green' : 'blue'
    await redis(app.port, 'set', 'slot', other)
    assert.equal(await redis(app.slotPorts[other], 'get', 'slot'), other)
    await redis(app.slotPorts.blue, 'publish', 'news', `switch ${count}`)
    await subscriber.until(`switch ${count}`)
  }
  for (let answer = 1; answer <= sent; answer += 1) assert.equal(await pipeline.next(), `:${answer}`)
  assert.equal(await redis(app.slotPorts.blue, 'get', 'counter'), String(sent))
  subscriber.socket.destroy()
  pipeline.socket.destroy()
})

function mustMakePublicDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'dorc-public-'))
  chmodSync(directory, 0o755)
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const POSTGRES = `#!/bin/sh
set -e
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
[ -e data/PG_VERSION ] || "$bin/initdb" -D data -U app --auth=trust --no-sync >/dev/null
exec "$bin/postgres" -D data -h 127.0.0.1 -p "$PORT" -k '' -c fsync=off -c cluster_name="$DORC_SLOT"
`

test('PostgreSQL: a transaction goes on over switches, and new sessions reach the other slot', async (t) => {
  const app = await SteeredApp.register(dorc, {
    name: 'db',
    files: { run: POSTGRES },
    start: '{executable}',
    // It refuses to run as root; dorc's own directories are root's alone.
    keys: 'user = "postgres"',
    dirs: mustMakePublicDirectory(t),
  })
  const psql = ['psql', '-h', HOST, '-p', String(app.port), '-U', 'app', '-At', 'postgres'] as const
  const [command, ...words] = psql
  const session = spawn(command, words, { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => session.kill('SIGKILL'))
  let answers = ''
  session.stdout.setEncoding('utf8').on('data', (text: string) => (answers += text))
  session.stdin.write('BEGIN; CREATE TABLE kept (n int);\n')
  await dorc.until('the transaction has begun', () => Promise.resolve(answers.includes('CREATE TABLE')))
  for (let count = 0; count < SWITCHES; count += 1) {
    session.stdin.write(`INSERT INTO kept VALUES (${count});\n`)
    await app.switch()
    const { stdout } = await run(command, [...words, '-c', 'SHOW cluster_name'])
    assert.equal(stdout.trim(), count % 2 === 0 ? 'green' : 'blue')
  }
  session.stdin.end('COMMIT; SELECT count(*), current_setting($$cluster_name$$) FROM kept;\n')
  await once(session, 'close')
  assert.match(answers, new RegExp(`COMMIT\n${SWITCHES}\\|blue\n$`))
})

const WEBSOCKETS = `import asyncio, os, websockets
async def echo(socket):
    async for message in socket: await socket.send(os.environ["DORC_SLOT"] + " " + message)
async def main():
    async with websockets.serve(echo, "127.0.0.1", int(os.environ["PORT"])): await asyncio.Future()
asyncio.run(main())
`

test('a WebSocket server: old sockets talk on with their slot, new ones with the other', async () => {
  const app = await SteeredApp.register(dorc, {
    name: 'chat',
    files: { 'chat.py': WEBSOCKETS },
    start: '/usr/bin/python3 {executable}',
  })
  const old = await openChat(app.port)
  for (let count = 0; count < SWITCHES; count += 1) {
    await app.switch()
    const fresh = await openChat(app.port)
    assert.equal(await fresh.say('hello'), `${count % 2 === 0 ? 'green' : 'blue'} hello`)
    assert.equal(await old.say(`still ${count}`), `blue still ${count}`)
    fresh.socket.close()
  }
  old.socket.close()
})

async function openChat(port: number) {
  const socket = new WebSocket(`ws://${HOST}:${port}/`)
  await once(socket, 'open')
  return {
    socket,
    say: async (text: string): Promise<string> => {
      const answered = once(socket, 'message') as Promise<[{ data: string }]>
      socket.send(text)
      return (await answered)[0].data
    },
  }
}

/** Asks on new connections without a pause; returns what was answered since, and what failed. */
function keepAsking(
  t: TestContext,
  port: number,
): { stop(): Promise<{ answers: string[]; failed: number }> } {
  const answers: string[] = []
  let failed = 0
  const over = new AbortController()
  t.after(() => over.abort())
  const asking = (async () => {
    while (!over.signal.aborted) {
      const answer = await ask(port)
      if (answer === null) failed += 1
      else answers.push(answer)
    }
  })()
  return {
    async stop() {
      over.abort()
      await asking
      return { answers, failed }
    },
  }
}

async function ask(port: number): Promise<string | null> {
  const socket = connect({ host: HOST, port })
  socket.write('GET / HTTP/1.0\r\n\r\n')
  let text = ''
  try {
    for await (const chunk of socket) text += String(chunk)
  } catch {
    return null
  }
  return text === '' ? null : text.slice(text.indexOf('\r\n\r\n') + 4)
}

const GUNICORN = `import os
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [("%s %s" % (os.environ["DORC_SLOT"], os.getpid())).encode()]
`

test('gunicorn: a HUP under load changes its workers, and fails nothing', async (t) => {
  const app = await SteeredApp.register(dorc, {
    name: 'wsgi',
    files: { 'pids.py': GUNICORN },
    start: '/usr/bin/gunicorn -w 2 -b 127.0.0.1:{port} --chdir {dir} pids:app',
    keys: `reload = "/bin/sh -c 'kill -HUP $MAINPID'"`,
  })
  const load = keepAsking(t, app.port)
  for (let count = 0; count < 3; count += 1) {
    const before = await workersOf(app.port)
    await dorc.client.run('wsgi', { action: 'reload', slot: 'blue' }, null)
    // gunicorn ends itself when it is told to reload while a worker is still coming up.
    await dorc.until('both workers are new', async () => {
      const present = await workersOf(app.port)
      return present.size === 2 && [...present].every((pid) => !before.has(pid))
    })
  }
  await app.switch()
  const { answers, failed } = await load.stop()
  assert.equal(failed, 0)
  assert.ok(new Set(answers).size >= 3, `workers: ${[...new Set(answers)].join(', ')}`)
  assert.match((await ask(app.port)) ?? '', /^green/)
  assert.equal((await app.status()).dataPlane, 'steering')
})

async function workersOf(port: number): Promise<Set<string | null>> {
  return new Set(await Promise.all(Array.from({ length: 20 }, () => ask(port))))
}

/** Three processes, each with a listening socket of its own in one SO_REUSEPORT group. */
const GROUP = `#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void serve(void) {
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT")))};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 512)) exit(1);
  for (;;) {
    char text[1000];
    int client = accept(listener, 0, 0);
    if (client < 0) continue;
    read(client, text, sizeof text);
    int length = snprintf(text, sizeof text, "HTTP/1.0 200 OK\\r\\n\\r\\n%s %d", getenv("DORC_SLOT"), getpid());
    write(client, text, length);
    close(client);
  }
}

int main(void) {
  for (int member = 0; member < 3; member++)
    if (fork() == 0) serve();
  while (wait(0) > 0 || 1) if (fork() == 0) serve();
}
`

test('a C server with SO_REUSEPORT: a member that is killed is replaced, and its group is steered to throughout', async (t) => {
  const app = await SteeredApp.register(dorc, {
    name: 'group',
    files: { 'group.c': GROUP },
    start: '/usr/bin/tcc -run {executable}',
  })
  const waits: number[] = []
  for (let count = 0; count < 6; count += 1) {
    const victim = Number((await ask(app.port))?.split(' ')[1])
    // Its own accept queue dies with it; whoever comes after that has to be served.
    process.kill(victim, 'SIGKILL')
    const killedAt = performance.now()
    const load = keepAsking(t, app.port)
    await app.until('it is steered', ({ dataPlane }) => dataPlane === 'steering')
    waits.push(performance.now() - killedAt)
    await dorc.until('three members serve', async () => {
      const asked = await Promise.all(Array.from({ length: 40 }, () => ask(app.port)))
      return new Set(asked).size === 3
    })
    assert.equal((await load.stop()).failed, 0)
  }
  await app.switch()
  assert.match((await ask(app.port)) ?? '', /^green/)
  t.diagnostic(`steered again after at most ${Math.max(...waits).toFixed(0)} ms`)
})
