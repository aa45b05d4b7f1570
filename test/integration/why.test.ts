import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { WhyReport } from '../../src/api/protocol.ts'
import { DaemonApp } from './daemon-app.ts'
import { EmbeddedDorc } from './embedded-dorc.ts'

describe('dorc why', () => {
  let dorc: EmbeddedDorc
  let app: DaemonApp
  before(async () => {
    dorc = await EmbeddedDorc.start()
    app = await DaemonApp.register(dorc, 'web', 'deploy_timeout = "3s"')
  })
  after(() => dorc[Symbol.asyncDispose]())

  const why = (): Promise<WhyReport> => dorc.client.why('web', null)

  /** A release that is the same but for its program. */
  const deploy = async (name: string, program: string): Promise<string> => {
    const { ok, message } = await app.deploy(await dorc.release(name, '', program))
    assert.equal(ok, false)
    return message
  }

  test('of an app that works says that nothing is wrong', async () => {
    assert.equal((await why()).verdict, null)
  })

  test('of a release that exits tells its status, its own last words, and what it changed', async () => {
    const program = 'for (let i = 1; i <= 60; i += 1) console.error(`line ${i}`); process.exitCode = 3'
    const message = await deploy('exits', program)
    const report = await why()
    assert.equal(message.endsWith(report.verdict ?? '-'), true, message)
    assert.deepEqual([report.slot, report.release, report.exit], ['green', 2, 'exit status 3'])
    assert.deepEqual(
      report.log.map(({ text }) => text),
      Array.from({ length: 50 }, (_, index) => `line ${index + 11}`),
    )
    assert.deepEqual(report.ports.listening, [])
    assert.equal(report.changes?.since, 1)
    assert.deepEqual(
      report.changes?.files.map(({ path, kind }) => [path, kind]),
      [['bin/serve', 'changed']],
    )
  })

  test('of one that is killed tells the signal', async () => {
    await deploy('killed', 'process.kill(process.pid, "SIGSEGV")')
    assert.match((await why()).exit ?? '', /^signal SEGV/)
  })

  test('of one that listens elsewhere tells where, and what it should look at', async () => {
    await deploy('elsewhere', 'require("node:http").createServer().listen(0, "127.0.0.1")')
    const { ports, next, probe } = await why()
    assert.equal(ports.listening.length, 1)
    assert.ok(!ports.listening.includes(ports.expected))
    assert.match(next, new RegExp(`Let it listen on ${ports.expected}.* PORT`))
    assert.match(probe?.detail ?? '', /nothing listens on port/)
  })

  test('of one that answers 500 tells what was asked and answered, and how to ask oneself', async () => {
    const program =
      'require("node:http").createServer((q, r) => r.writeHead(500).end("no")).listen(process.env.PORT, "127.0.0.1")'
    await deploy('broken', program)
    const { probe, ports, next } = await why()
    assert.equal(probe?.request, `GET / on port ${ports.expected}`)
    assert.match(probe?.detail ?? '', /HTTP 500/)
    assert.equal(next, `curl -i http://127.0.0.1:${ports.expected}/`)
    assert.ok(ports.listening.includes(ports.expected))
  })

  test('of one that hangs tells that it does not answer', async () => {
    const program = `const server = require("node:http").createServer().listen(process.env.PORT, "127.0.0.1")
server.once("listening", () => process.kill(process.pid, "SIGSTOP"))`
    await deploy('hangs', program)
    const { verdict, ports, probe } = await why()
    assert.match(verdict ?? '', /^Not ready in time/)
    assert.ok(ports.listening.includes(ports.expected))
    assert.equal(probe?.ok, false)
  })

  test('dorc deploy prints the same when it fails, and its status stays', async () => {
    const bad = await dorc.release('bad', '', 'console.error("no database"); process.exit(4)')
    const { status, stdout, stderr } = await dorc.run('deploy', 'web', bad)
    assert.equal(status, 1)
    assert.match(stdout, /web green \(release 7\): .*\n {2}exit {5}exit status 4/)
    assert.match(stdout, /green no database\n/)
    assert.match(stderr, /Release 7 failed: .* \((UNIT_FAILED|DEPLOY_TIMED_OUT)\)/)
    const told = await dorc.run('why', 'web')
    assert.deepEqual([told.status, /no database/.test(told.stdout)], [0, true])
  })
})
