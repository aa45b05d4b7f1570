import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { DaemonApp } from '../integration/daemon-app.ts'
import { EmbeddedDorc } from '../integration/embedded-dorc.ts'
import { connectOtherHost, enterOwnNetwork, type OtherHost } from './network.ts'

/** The whole of dorc, with steering, as clients of another host see it. */
const ROUNDS = 4
const ASKED = 10
const HERE = { IPv4: '10.77.0.1', IPv6: '[fd77::1]' }
const THERE = { IPv4: '10.77.0.2', IPv6: 'fd77::2' }
const FAMILIES = ['IPv4', 'IPv6'] as const

/** Binds every address, as many programs do, and tells who asks. */
const TELLS_WHO_ASKS = `
  require('node:http')
    .createServer(({ socket }, response) =>
      response.end(process.env.DORC_SLOT + ' ' + socket.remoteAddress.replace('::ffff:', '')))
    .listen({ host: '::', port: Number(process.env.PORT) })`

describe('from another host', () => {
  let dorc: EmbeddedDorc
  let app: DaemonApp
  let other: OtherHost
  let ports: { blue: number; green: number }
  const ends: (() => void)[] = []
  before(async () => {
    enterOwnNetwork()
    other = connectOtherHost({ after: (end) => void ends.push(end) })
    dorc = await EmbeddedDorc.start()
    app = await DaemonApp.prepare(dorc, 'web')
    await app.put(await dorc.release('web-one', '', TELLS_WHO_ASKS))
    const toml = (await app.toml()).replace('listen = "127.0.0.1:', 'listen = "[::]:')
    await dorc.client.register({ name: 'web', toml })
    await app.until('it is ready', ({ slots, deploy, dataPlane }) => {
      return slots.blue.ready && slots.green.ready && deploy?.state === 'live' && dataPlane === 'steering'
    })
    const { blue, green } = (await app.status()).slots
    ports = { blue: blue.port, green: green.port }
  })
  after(async () => {
    for (const end of ends) end()
    await dorc[Symbol.asyncDispose]()
  })

  /** What curl is told there, or its exit status. */
  const ask = async (host: string, port: number): Promise<string> =>
    (
      await other.run(['sh', '-c', `curl -sg --max-time 20 http://${host}:${port}/ || echo "status $?"`])
    ).trim()

  for (const family of FAMILIES)
    test(`the app sees the client's own ${family} address`, async () => {
      const { active } = await app.status()
      assert.equal(await ask(HERE[family], app.listen), `${active} ${THERE[family]}`)
    })

  test('slot ports are refused, though the program binds every address', async () => {
    for (const family of FAMILIES)
      for (const port of [ports.blue, ports.green])
        assert.equal(await ask(HERE[family], port), 'status 7', `${family} ${port}`)
  })

  for (const family of FAMILIES)
    test(`no ${family} client fails or meets the wrong slot while switches go on`, async () => {
      const url = `http://${HERE[family]}:${app.listen}/`
      // Each request is a connection of its own; what fails prints its status.
      const script = `while read -r _; do curl -sg --max-time 20 ${url} && echo || echo "status $?"; done`
      const clients = other.spawn(['sh', '-c', script])
      let said = ''
      clients.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
      const answers = (): string[] => said.split('\n').slice(0, -1)
      for (let round = 1; round <= ROUNDS; round += 1) {
        clients.stdin.write('ask\n'.repeat(ASKED))
        const { ok, message } = await app.switch()
        assert.ok(ok, message)
        await dorc.until('all have answers', () => Promise.resolve(answers().length === ASKED * round))
        const { active } = await app.status()
        assert.equal(await ask(HERE[family], app.listen), `${active} ${THERE[family]}`)
      }
      const strange = answers().filter(
        (one) => !/^(blue|green) /.test(one) || !one.endsWith(` ${THERE[family]}`),
      )
      assert.deepEqual(strange, [])
      assert.equal((await app.status()).dataPlane, 'steering')
    })

  test('the ledger names the client, and a switch left its connection where it was', async () => {
    const { active } = await app.status()
    const talker = other.spawn(['bash', '-c', `exec 3<>/dev/tcp/10.77.0.1/${app.listen}; cat <&3 & cat >&3`])
    talker.stdin.write('GET / HTTP/1.1\r\nHost: web\r\n\r\n')
    let said = ''
    talker.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
    await dorc.until('it was answered', () => Promise.resolve(said.includes(`${active} 10.77.0.2`)))
    assert.ok((await app.switch()).ok)
    const { stdout } = await dorc.run('conns', 'web', '--json')
    const { connections } = JSON.parse(stdout) as {
      connections: { slot: string; via: string; peer: { host: string } }[]
    }
    const found = connections.find(({ peer }) => peer.host.endsWith('10.77.0.2'))
    assert.deepEqual([found?.slot, found?.via], [active, 'steering'], stdout)
    talker.stdin.write('GET / HTTP/1.1\r\nHost: web\r\n\r\n')
    await dorc.until('it is answered again', () =>
      Promise.resolve(said.split(`${active} 10.77.0.2`).length === 3),
    )
  })
})
