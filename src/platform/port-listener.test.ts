import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { userInfo } from 'node:os'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'
import { portListener, portsOf } from './port-listener.ts'

const LISTEN = `
import socket, sys, time
sockets = []
for word in sys.argv[1:]:
    host, port, *options = word.split(',')
    one = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
    if 'reuseport' in options: one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if 'v6only' in options: one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    one.bind((host, int(port)))
    one.listen(16)
    sockets.append(one)
print(sockets[0].getsockname()[1], flush=True)
time.sleep(600)
`

/** A process that listens on each `host,port[,reuseport][,v6only]`. */
async function mustListen(t: TestContext, ...addresses: string[]): Promise<{ pid: number; port: number }> {
  const child = spawn('/usr/bin/python3', ['-c', LISTEN, ...addresses], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  assert.ok(child.pid !== undefined)
  return { pid: child.pid, port: Number(line) }
}

function hostOf(pids: number[], port: number): string {
  const found = portListener(pids, port)
  return found.kind === 'owned' ? found.host : found.kind
}

test('a wildcard is reached over loopback, a specific address as it is', async (t) => {
  for (const [address, host] of [
    ['0.0.0.0', '127.0.0.1'],
    ['127.0.0.1', '127.0.0.1'],
    ['127.0.0.9', '127.0.0.9'],
    ['::', '127.0.0.1'],
    ['::1', '::1'],
  ]) {
    const { pid, port } = await mustListen(t, `${address},0`)
    assert.equal(hostOf([1, pid], port), host, address)
  }
  const v6only = await mustListen(t, '::,0,v6only')
  assert.equal(hostOf([v6only.pid], v6only.port), '::1')
})

test('a port of another process is foreign, with its pid, name and user', async (t) => {
  const { pid, port } = await mustListen(t, '127.0.0.1,0')
  const own = await mustListen(t, '127.0.0.1,0')
  const user = userInfo().username
  assert.deepEqual(portListener([own.pid], port), { kind: 'foreign', pid, command: 'python3', user })
})

test('a port that nobody listens on is none, with the ports that the processes do listen on', async (t) => {
  const { pid, port } = await mustListen(t, '127.0.0.1,0', '::1,0')
  const other = portsOf([pid]).find((one) => one !== port)
  assert.ok(other !== undefined)
  assert.deepEqual(portListener([pid], 1), { kind: 'none', others: [port, other].sort((a, b) => a - b) })
  assert.deepEqual(portListener([process.pid], 1), { kind: 'none', others: [] })
})

test('a socket of another process in the same SO_REUSEPORT group makes the port foreign', async (t) => {
  const mine = await mustListen(t, '127.0.0.1,0,reuseport')
  const other = await mustListen(t, `127.0.0.1,${mine.port},reuseport`)
  assert.equal(portListener([mine.pid], mine.port).kind, 'foreign')
  assert.equal(hostOf([mine.pid, other.pid], mine.port), '127.0.0.1')
})

test('beside a stranger on the IPv4 wildcard the own IPv6 address is used', async (t) => {
  const mine = await mustListen(t, '::,0,v6only')
  await mustListen(t, `0.0.0.0,${mine.port}`)
  assert.equal(hostOf([mine.pid], mine.port), '::1')
})
