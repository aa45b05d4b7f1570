import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { DataPlane, Route, RouteReport } from '../../src/dataplane/dataplane.ts'
import { openSteering, slotPids } from '../contract/dataplanes.ts'
import { freePort, until } from '../contract/tcp-peers.ts'
import { descendantsOf } from '../../src/platform/proc.ts'

/** How programs of the world listen, and what steering makes of it. The relay covers every gap: no client may fail. */
const HOST = '127.0.0.1'

interface Served {
  readonly plane: DataPlane
  readonly port: number
  readonly slotPort: number
  readonly app: ChildProcess
  readonly report: () => Promise<RouteReport>
}

/** Starts a program as the blue slot and waits until it is steered to. `argv` is made of the slot's port. */
async function serve(t: TestContext, argv: (port: number) => string[]): Promise<Served> {
  const { plane } = await openSteering(t)
  const [port, slotPort] = [await freePort(t), await freePort(t)]
  const [command = '', ...rest] = argv(slotPort)
  const app = spawn(command, rest, { stdio: ['ignore', 'ignore', 'inherit'], detached: true })
  const pid = app.pid ?? 0
  // Workers come and go: who belongs to the slot is asked anew each time.
  const follow = setInterval(() => addFamily(pid), 5)
  t.after(() => {
    clearInterval(follow)
    for (const member of [pid, ...descendantsOf(pid)]) slotPids.blue.delete(member)
    if (app.exitCode === null && app.signalCode === null) process.kill(-pid, 'SIGKILL')
  })
  addFamily(pid)
  await until('it listens', async () => (await ask(slotPort)) !== null)
  const route: Route = {
    app: 'web',
    listen: { host: HOST, port },
    target: { slot: 'blue', host: HOST, port: slotPort },
    paused: false,
    holdTimeoutMs: 20_000,
    guardedPorts: [],
  }
  await plane.setRoute(route)
  const report = async (): Promise<RouteReport> => {
    const [found] = (await plane.observe()).routes
    assert.ok(found)
    return found
  }
  return { plane, port, slotPort, app, report }
}

function addFamily(pid: number): void {
  for (const member of [pid, ...descendantsOf(pid)]) slotPids.blue.add(member)
}

/** One request on a connection of its own; null if it failed. */
async function ask(port: number): Promise<string | null> {
  const socket = connect({ host: HOST, port })
  socket.write('GET / HTTP/1.0\r\n\r\n')
  let text = ''
  try {
    for await (const chunk of socket) text += String(chunk)
    return text === '' ? null : text
  } catch {
    return null
  }
}

/** The app sees the public port as its own if nothing is in between. */
const isSteered = (answer: string | null, port: number): boolean => answer?.includes(`at ${port}`) === true

/** Asks without a pause until `isOver`; returns how many were asked and failed. */
async function askOnAndOn(port: number, isOver: () => boolean): Promise<{ asked: number; failed: number }> {
  let [asked, failed] = [0, 0]
  while (!isOver()) {
    asked += 1
    if ((await ask(port)) === null) failed += 1
  }
  return { asked, failed }
}

function pythonServer(body: string): (port: number) => string[] {
  return (port) => ['python3', '-c', `import socket, os, sys, time, signal\nPORT = ${port}\n${body}`]
}

const ANSWER = `
def answer(listener):
    while True:
        try: client, _ = listener.accept()
        except OSError: return
        client.recv(1000)
        client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nfrom %d at %d" % (os.getpid(), client.getsockname()[1]))
        client.close()
def listen(reuse=False):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("127.0.0.1", PORT)); s.listen(512)
    return s
`

test('while a listener is closed requests wait at the relay, and once it is open again it is steered to', async (t) => {
  const { port, slotPort, app, report } = await serve(
    t,
    pythonServer(`${ANSWER}
def again(*_):
    global listener
    listener = listen()
signal.signal(signal.SIGHUP, lambda *_: listener.close())
signal.signal(signal.SIGUSR1, again)
again()
while True: answer(listener); time.sleep(0.01)
`),
  )
  assert.equal((await report()).via, 'steering')
  for (let count = 0; count < 3; count += 1) {
    app.kill('SIGHUP')
    await until('it is closed', async () => (await ask(slotPort)) === null)
    const waiting = ask(port)
    await until('it waits', async () => (await report()).held === 1)
    app.kill('SIGUSR1')
    assert.match((await waiting) ?? '', /from/)
    // Nobody asks the plane: the connection that came to the relay is what made it look.
    await until('requests are steered', async () => isSteered(await ask(port), port))
  }
})

test('connections are spread over a SO_REUSEPORT group, and the loss of one member is made good', async (t) => {
  const { port, app, report } = await serve(
    t,
    pythonServer(`${ANSWER}
for _ in range(3):
    if os.fork() == 0:
        answer(listen(reuse=True)); sys.exit()
time.sleep(1000)
`),
  )
  assert.equal((await report()).via, 'steering')
  const members = new Set<string>()
  await until('every member has answered', async () => {
    members.add(/from (\d+)/.exec((await ask(port)) ?? '')?.[1] ?? '')
    return members.size === 3
  })
  for (const pid of descendantsOf(app.pid ?? 0).slice(0, 2)) {
    process.kill(pid, 'SIGKILL')
    await until('it is gone', () => !descendantsOf(app.pid ?? 0).includes(pid))
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(port)))
    assert.equal(answers.filter((answer) => answer === null).length, 0)
    await until('it is steered again', async () => (await report()).via === 'steering')
  }
})

test('a server of pre-forked workers that inherit the listener is steered to over reloads', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'dorc-nginx-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const { port, app, report } = await serve(t, (slotPort) => {
    const conf = join(directory, 'nginx.conf')
    writeFileSync(
      conf,
      `daemon off; pid ${directory}/pid; error_log stderr crit; worker_processes 2; events {}
http { access_log off; server { listen 127.0.0.1:${slotPort} backlog=512; location / { return 200 ok; } } }\n`,
    )
    return ['nginx', '-p', directory, '-c', conf]
  })
  assert.equal((await report()).via, 'steering')
  let isOver = false
  const load = askOnAndOn(port, () => isOver)
  for (let count = 0; count < 5; count += 1) {
    const before = descendantsOf(app.pid ?? 0)
    app.kill('SIGHUP')
    await until('the workers are new', () =>
      descendantsOf(app.pid ?? 0).every((pid) => !before.includes(pid)),
    )
  }
  isOver = true
  assert.equal((await load).failed, 0)
  assert.equal((await report()).via, 'steering')
})

test('an MPTCP listener is served by the relay, and status says what to do', async (t) => {
  const mptcp = ANSWER.replace('socket.socket()', 'socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)')
  const { port, report } = await serve(t, pythonServer(`${mptcp}\nanswer(listen())`))
  const { via, reason } = await report()
  assert.equal(via, 'relay')
  assert.equal(reason, 'it listens with MPTCP (Go: GODEBUG=multipathtcp=0 turns that off)')
  assert.match((await ask(port)) ?? '', /from/)
})

test('a process that is killed is waited for, and its successor steered to', async (t) => {
  const { port, app, report, slotPort } = await serve(t, pythonServer(`${ANSWER}\nanswer(listen())`))
  assert.equal((await report()).via, 'steering')
  app.kill('SIGKILL')
  await once(app, 'exit')
  const waiting = ask(port)
  const [command = '', ...rest] = pythonServer(`${ANSWER}\nanswer(listen())`)(slotPort)
  const successor = spawn(command, rest, { stdio: ['ignore', 'ignore', 'inherit'] })
  t.after(() => successor.kill('SIGKILL'))
  slotPids.blue.add(successor.pid ?? 0)
  assert.match((await waiting) ?? '', /from/)
  await until('it is steered to', async () => (await report()).via === 'steering')
})
