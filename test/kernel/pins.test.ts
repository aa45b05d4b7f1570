import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, readdirSync, readlinkSync, renameSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test, type TestContext } from 'node:test'
import { tryKernel } from '../../src/dataplane/steering/availability.ts'
import { withAppListener } from '../../src/dataplane/steering/app-listener.ts'
import {
  createLink,
  createMap,
  linkInfo,
  loadProgram,
  mapLookup,
  mapUpdate,
} from '../../src/dataplane/steering/bpf.ts'
import { closeKernel, damageOf, type Kernel, openKernel } from '../../src/dataplane/steering/kernel.ts'
import { LAYOUT_VERSION, META } from '../../src/dataplane/steering/layout.ts'
import { steeringProgram } from '../../src/dataplane/steering/program.ts'
import { SteeringTable } from '../../src/dataplane/steering/steering-table.ts'
import { closeFd } from '../../src/platform/pidfd.ts'
import { attachedPrograms, enterOwnNetwork, mountBpf } from './network.ts'

/** What stays in force without the daemon, and what is made of it by the next one. */
const mounted = mkdtempSync(join(tmpdir(), 'dorc-bpf-'))

before(() => {
  enterOwnNetwork()
  mountBpf(mounted)
})
after(() => {
  execFileSync('umount', [mounted])
  rmSync(mounted, { recursive: true })
})

function freshPins(t: TestContext): string {
  const pins = join(mounted, `t${Math.random().toString(36).slice(2)}`)
  t.after(() => rmSync(pins, { recursive: true, force: true }))
  return pins
}

const listen = { host: '127.0.0.1', port: 8080 }

async function serve(t: TestContext, name: string) {
  const server = createServer((socket) => socket.end(name))
  server.listen({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  t.after(() => server.close())
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

function steer(kernel: Kernel, to: { host: string; port: number }): void {
  const table = new SteeringTable(kernel.maps)
  const number = table.add(listen)
  const target = { slot: 'blue' as const, ...to }
  assert.equal(
    withAppListener([process.pid], { listen, target }, (fd) => table.point(number, fd)).kind,
    'fit',
  )
}

async function ask(): Promise<string> {
  const socket = connect(listen)
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  try {
    await once(socket, 'close')
    return text
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

test('what is pinned steers on without a daemon, and the next one finds it as it was', async (t) => {
  const pins = freshPins(t)
  const first = openKernel(pins)
  steer(first, await serve(t, 'app'))
  const { programId } = linkInfo(first.link)
  closeKernel(first)
  assert.equal(await ask(), 'app')
  const second = openKernel(pins)
  t.after(() => closeKernel(second))
  assert.equal(linkInfo(second.link).programId, programId)
  assert.notEqual(new SteeringTable(second.maps).numberOf(listen), null)
  assert.equal(damageOf(second, pins), null)
  assert.equal(await ask(), 'app')
})

test('a connection outlives every pin and program', async (t) => {
  const pins = freshPins(t)
  const kernel = openKernel(pins)
  const server = createServer((socket) => socket.pipe(socket))
  server.listen({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  t.after(() => server.close())
  steer(kernel, { host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  const client = connect(listen)
  t.after(() => client.destroy())
  await once(client, 'connect')
  closeKernel(kernel)
  rmSync(pins, { recursive: true })
  assert.equal(await ask(), 'ECONNREFUSED')
  client.write('still here')
  assert.equal(String((await once(client, 'data'))[0]), 'still here')
})

test('another version of the program takes the place of the old one, on the same maps', async (t) => {
  const pins = freshPins(t)
  const first = openKernel(pins)
  steer(first, await serve(t, 'app'))
  const { programId } = linkInfo(first.link)
  const meta = mapLookup(first.maps.meta, Buffer.alloc(4), META.bytes)
  assert.ok(meta)
  meta.fill(7, META.programHash)
  mapUpdate(first.maps.meta, Buffer.alloc(4), meta)
  closeKernel(first)
  const second = openKernel(pins)
  t.after(() => closeKernel(second))
  assert.notEqual(linkInfo(second.link).programId, programId)
  assert.equal(await ask(), 'app')
  assert.equal(attachedPrograms(), 1)
})

test('maps of another layout are not adopted, and there is never a second link', async (t) => {
  const pins = freshPins(t)
  const first = openKernel(pins)
  steer(first, await serve(t, 'app'))
  const meta = mapLookup(first.maps.meta, Buffer.alloc(4), META.bytes)
  assert.ok(meta)
  meta.writeUInt32LE(LAYOUT_VERSION + 1, META.layoutVersion)
  mapUpdate(first.maps.meta, Buffer.alloc(4), meta)
  closeKernel(first)
  const second = openKernel(pins)
  t.after(() => closeKernel(second))
  assert.equal(await ask(), 'ECONNREFUSED')
  assert.equal(attachedPrograms(), 1)
  steer(second, await serve(t, 'again'))
  assert.equal(await ask(), 'again')
})

for (const missing of ['link', 'addresses', 'sockets', 'guards', 'births', 'meta'])
  test(`without the pin "${missing}" everything is made anew, once`, async (t) => {
    const pins = freshPins(t)
    const first = openKernel(pins)
    rmSync(join(pins, missing))
    assert.equal(damageOf(first, pins), `the pin "${missing}" is gone`)
    closeKernel(first)
    const second = openKernel(pins)
    t.after(() => closeKernel(second))
    assert.equal(damageOf(second, pins), null)
    assert.equal(attachedPrograms(), 1)
    steer(second, await serve(t, 'app'))
    assert.equal(await ask(), 'app')
  })

test('pins of two makings that a crash has mixed are told apart', (t) => {
  const pins = freshPins(t)
  const other = freshPins(t)
  closeKernel(openKernel(pins))
  closeKernel(openKernel(other))
  renameSync(join(other, 'meta'), join(pins, 'meta'))
  const kernel = openKernel(pins)
  t.after(() => closeKernel(kernel))
  const meta = mapLookup(kernel.maps.meta, Buffer.alloc(4), META.bytes)
  assert.equal(meta?.readUInt32LE(META.programId), linkInfo(kernel.link).programId)
})

test('a detached link is noticed', (t) => {
  const pins = freshPins(t)
  const kernel = openKernel(pins)
  t.after(() => closeKernel(kernel))
  detach(kernel.link)
  assert.equal(damageOf(kernel, pins), 'the link was detached')
  const again = openKernel(pins)
  t.after(() => closeKernel(again))
  assert.equal(damageOf(again, pins), null)
})

for (const order of ['before', 'after'] as const)
  test(`the program of another owner, attached ${order} ours, keeps working, and so does ours`, async (t) => {
    const attachOther = (): Kernel => {
      const names = ['addresses', 'sockets', 'guards', 'births', 'meta'] as const
      const maps = Object.fromEntries(names.map((name) => [name, createMap(name)])) as Kernel['maps']
      const program = loadProgram(steeringProgram(maps))
      const namespace = openSync('/proc/self/ns/net', 'r')
      const link = createLink(program, namespace)
      for (const fd of [program, namespace]) closeFd(fd)
      return { maps, link }
    }
    const foreign = order === 'before' ? attachOther() : null
    const own = openKernel(freshPins(t))
    const other = foreign ?? attachOther()
    t.after(() => [own, other].forEach(closeKernel))
    steer(own, await serve(t, 'ours'))
    const table = new SteeringTable(other.maps)
    const theirs = { host: '127.0.0.1', port: 9090 }
    const target = { slot: 'blue' as const, ...(await serve(t, 'theirs')) }
    withAppListener([process.pid], { listen: theirs, target }, (fd) => table.point(table.add(theirs), fd))
    assert.equal(await ask(), 'ours')
    const socket = connect(theirs)
    assert.equal(String((await once(socket, 'data'))[0]), 'theirs')
  })

test('no copy of a listening socket stays open here', async (t) => {
  const kernel = openKernel(freshPins(t))
  t.after(() => closeKernel(kernel))
  const app = await serve(t, 'app')
  const listeners = (): string[] =>
    readdirSync('/proc/self/fd')
      .flatMap((fd) => {
        try {
          return [readlinkSync(`/proc/self/fd/${fd}`)]
        } catch {
          return []
        }
      })
      .filter((path) => path.startsWith('socket:'))
  const before = listeners()
  for (let count = 0; count < 50; count++) steer(kernel, app)
  assert.deepEqual(listeners(), before)
})

test('what can be steered by nobody any more is taken away', async (t) => {
  const pins = freshPins(t)
  const kernel = openKernel(pins)
  steer(kernel, await serve(t, 'app'))
  closeKernel(kernel)
  rmSync(join(pins, 'meta'))
  const script = `import { tryKernel } from './src/dataplane/steering/availability.ts'
console.log(tryKernel('${pins}'))`
  const withoutRights = ['--bounding-set=-bpf,-sys_admin', process.execPath, '--input-type=module-typescript']
  const said = execFileSync('setpriv', [...withoutRights, '-e', script], { encoding: 'utf8' })
  assert.match(
    said,
    /^the kernel forbids steering: bpf mapCreate failed with EPERM \(CAP_BPF and CAP_NET_ADMIN/,
  )
  assert.equal(await ask(), 'ECONNREFUSED')
})

test('a directory that is no bpf file system is a reason, not a failure', () => {
  assert.equal(tryKernel(tmpdir()), `no bpf file system is mounted on ${tmpdir()}`)
})

function detach(link: number): void {
  const script = `
import ctypes, struct, os
attributes = ctypes.create_string_buffer(struct.pack('I', int(os.environ['LINK'])) + bytes(124))
number = {'x86_64': 321, 'aarch64': 280}[os.uname().machine]
assert ctypes.CDLL(None, use_errno=True).syscall(number, 34, attributes, 128) == 0, ctypes.get_errno()
`
  // BPF_LINK_DETACH, from another process, as a stranger would.
  execFileSync('python3', ['-c', script], {
    env: { ...process.env, LINK: '3' },
    stdio: ['ignore', 'inherit', 'inherit', link],
  })
}
