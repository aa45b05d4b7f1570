import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { request, type IncomingHttpHeaders } from 'node:http'
import { connect, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { ErrorBody } from '../../src/api/protocol.ts'
import { hasCode } from '../../src/core/errors.ts'
import { DaemonApp } from './daemon-app.ts'
import { EmbeddedDorc } from './embedded-dorc.ts'

interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

describe('the API under hostile and broken clients', () => {
  let dorc: EmbeddedDorc
  let app: DaemonApp
  before(async () => {
    dorc = await EmbeddedDorc.start()
    app = await DaemonApp.register(dorc, 'web')
  })
  after(() => dorc[Symbol.asyncDispose]())

  const call = (
    method: string,
    path: string,
    { body = '', ifMatch }: { body?: string | Buffer; ifMatch?: string } = {},
  ): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const headers = {
        'content-length': Buffer.byteLength(body),
        ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      }
      const sent = request(
        { socketPath: dorc.paths.socket, method, path, headers, agent: false },
        (response) => {
          let text = ''
          response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
          response.on('error', reject)
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
          )
        },
      )
      sent.on('error', reject)
      sent.end(body)
    })

  const codeOf = ({ text }: Reply): string => (JSON.parse(text) as ErrorBody).error.code

  const dial = async (): Promise<Socket> => {
    for (;;) {
      const socket = connect(dorc.paths.socket)
      try {
        await once(socket, 'connect')
        socket.on('error', () => socket.destroy())
        return socket
      } catch (error) {
        // The queue of the listener is full (connect(2)): the daemon of a busy machine comes to it in a moment.
        if (!hasCode(error, 'EAGAIN')) throw error
        await pause(20)
      }
    }
  }

  const unchanged = async (work: () => Promise<void>): Promise<void> => {
    const { generation, active, slots } = await app.status()
    await work()
    const now = await app.status()
    assert.deepEqual(
      [now.generation, now.active, now.slots.blue.pid, now.slots.green.pid],
      [generation, active, slots.blue.pid, slots.green.pid],
    )
  }

  const malformed: readonly (readonly [string, string])[] = [
    ['what is not JSON', '{"to":'],
    ['an empty body', ''],
    ['a body that is a list', '[]'],
    ['a body that is a number', '7'],
    ['an unknown field', '{"to":null,"force":false,"nice":1}'],
    ['a missing field', '{"to":null}'],
    ['a wrong type', '{"to":null,"force":"yes"}'],
    ['a slot that there is not', '{"to":"red","force":false}'],
    ['a polluting key', '{"__proto__":{"force":true},"to":null}'],
    ['bytes that are no UTF-8', '\u{fffd}'],
    ['nesting without end', '['.repeat(100_000)],
  ]
  for (const [what, body] of malformed) {
    test(`${what} is refused, and nothing changes`, () =>
      unchanged(async () => {
        const reply = await call('POST', '/v1/apps/web/switch', { body, ifMatch: '*' })
        assert.deepEqual([reply.status, codeOf(reply)], [400, 'REQUEST_INVALID'], reply.text)
      }))
  }

  for (const ifMatch of [undefined, '', '1', '"x"', 'W/"1"', '"-1"', '"1" "2"', '"99999999999999999999"']) {
    test(`a change with If-Match ${ifMatch ?? 'missing'} is refused, and nothing changes`, () =>
      unchanged(async () => {
        const body = '{"to":null,"force":false}'
        const reply = await call('POST', '/v1/apps/web/switch', {
          body,
          ...(ifMatch === undefined ? {} : { ifMatch }),
        })
        assert.deepEqual([reply.status, codeOf(reply)], [400, 'REQUEST_INVALID'], reply.text)
      }))
  }

  const changes: readonly (readonly [string, string, string])[] = [
    ['POST', '/v1/apps/web/switch', '{"to":null,"force":true}'],
    ['POST', '/v1/apps/web/rollback', '{"release":null,"force":false}'],
    ['POST', '/v1/apps/web/deploys', '{"path":null,"switch":true,"force":true,"wait":"no"}'],
    ['POST', '/v1/apps/web/run', '{"action":"restart","slot":null}'],
    ['POST', '/v1/apps/web/run', '{"action":"pause","slot":null}'],
    ['POST', '/v1/apps/web/run', '{"action":"reload","slot":null}'],
    ['POST', '/v1/apps/web/load', '{}'],
    ['DELETE', '/v1/apps/web', '{"purge":true}'],
  ]
  for (const [method, path, body] of changes) {
    test(`${method} ${path} ${body} of a stale generation is a conflict, and nothing changes`, () =>
      unchanged(async () => {
        const reply = await call(method, path, { body, ifMatch: '"1"' })
        assert.deepEqual([reply.status, codeOf(reply)], [412, 'CONFLICT'], reply.text)
      }))
  }

  const absent: readonly (readonly [string, string, number, string])[] = [
    ['GET', '/v1/apps/nope', 404, 'APP_UNKNOWN'],
    ['GET', '/v1/apps/..%2f..%2fetc', 404, 'APP_UNKNOWN'],
    ['GET', '/v1/apps/__proto__', 404, 'APP_UNKNOWN'],
    ['GET', '/v1/apps/%ff', 400, 'REQUEST_INVALID'],
    ['GET', '/v1/nope', 400, 'REQUEST_INVALID'],
    ['GET', '/', 400, 'REQUEST_INVALID'],
    ['GET', '//', 400, 'REQUEST_INVALID'],
    ['GET', 'http://[', 400, 'REQUEST_INVALID'],
    ['PUT', '/v1/apps/web', 400, 'REQUEST_INVALID'],
    ['OPTIONS', '*', 400, 'REQUEST_INVALID'],
    ['GET', '/v1/events?lines=-1', 400, 'REQUEST_INVALID'],
    ['GET', '/v1/events?lines=all', 400, 'REQUEST_INVALID'],
    ['GET', '/v1/events?color=red', 400, 'REQUEST_INVALID'],
    ['GET', '/v1/apps/web/logs?slot=red', 400, 'REQUEST_INVALID'],
    ['GET', '/v1/apps/nope/logs', 404, 'APP_UNKNOWN'],
  ]
  for (const [method, path, status, code] of absent) {
    test(`${method} ${path} is answered with ${status} ${code}`, async () => {
      const reply = await call(method, path, { ifMatch: '*' })
      assert.deepEqual([reply.status, codeOf(reply)], [status, code], reply.text)
    })
  }

  test('a body of more than 1 MiB is answered with what is wrong with it', async () => {
    const body = JSON.stringify({ name: 'big', toml: 'x'.repeat(5 * 1024 * 1024) })
    const reply = await call('POST', '/v1/apps', { body })
    assert.deepEqual([reply.status, codeOf(reply)], [400, 'REQUEST_INVALID'])
    assert.match(reply.text, /larger than 1 MiB/)
  })

  test('garbage on the socket costs only that connection', async () => {
    for (const garbage of [
      '\0\xff\xfe'.repeat(1_000),
      'GET\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      `GET /${'a'.repeat(100_000)}`,
    ]) {
      const socket = await dial()
      socket.resume()
      socket.end(Buffer.from(garbage, 'latin1'))
      if (!socket.closed) await once(socket, 'close')
    }
    assert.equal((await call('GET', '/v1/version')).status, 200)
  })

  test('300 connections at once are all answered', async () => {
    const replies = await Promise.all(Array.from({ length: 300 }, () => dorc.client.status()))
    assert.ok(replies.every(({ apps }) => apps[0]?.name === 'web'))
  })

  test('connections that never say anything do not keep others out', async () => {
    const silent: Socket[] = []
    // More at a time than wait in the queue of a listener are refused by the kernel.
    while (silent.length < 1_200) silent.push(...(await Promise.all(Array.from({ length: 100 }, dial))))
    try {
      await dorc.until('others are served', () =>
        dorc.client.version().then(
          () => true,
          () => false,
        ),
      )
    } finally {
      for (const socket of silent) socket.destroy()
    }
  })

  test('a request that never ends is given up', async () => {
    const socket = await dial()
    socket.resume()
    socket.write('POST /v1/apps/web/switch HTTP/1.1\r\nHost: dorc\r\nIf-Match: *\r\nContent-')
    await once(socket, 'close')
    assert.equal((await call('GET', '/v1/version')).status, 200)
  })

  test('clients that leave in the middle of a stream leave nothing behind', async () => {
    for (let round = 0; round < 50; round += 1) {
      const socket = await dial()
      socket.write('GET /v1/events?follow=true HTTP/1.1\r\nHost: dorc\r\n\r\n')
      await once(socket, 'data')
      socket.destroy()
    }
    assert.equal((await app.status()).name, 'web')
  })

  test('a deploy goes on when the one who asked for it has left', async () => {
    const release = await dorc.release('left', 'left')
    const body = JSON.stringify({ path: release, switch: false, force: false, wait: 'ready' })
    const socket = await dial()
    socket.write(
      `POST /v1/apps/web/deploys HTTP/1.1\r\nHost: dorc\r\nIf-Match: *\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
    await once(socket, 'data')
    socket.destroy()
    await app.until(
      'the release is ready',
      ({ deploy, slots }) => deploy?.state === 'ready' && slots.green.release === 2,
    )
  })

  test('the journal says who asked', async () => {
    const script = `import('${new URL('../../src/api/client.ts', import.meta.url).href}').then(async ({ DaemonClient }) => {
      const client = new DaemonClient('${dorc.paths.socket}', { whenAbsent: '', whenDenied: '' })
      for await (const line of client.switch('web', { to: null, force: false }, null, new AbortController().signal)) void line
      console.log(process.pid)
    })`
    const pid = await new Promise<number>((resolve, reject) => {
      execFile(process.execPath, ['-e', script], (error, stdout) =>
        error === null ? resolve(Number(stdout)) : reject(error),
      )
    })
    const events = dorc.client.events('web', { lines: 100, follow: false }, new AbortController().signal)
    const authors: unknown[] = []
    for await (const { type, by } of events) if (type === 'switched' || type === 'switching') authors.push(by)
    assert.ok(
      authors.some((by) => JSON.stringify(by).includes(`"uid":${process.getuid?.()},"pid":${pid}`)),
      JSON.stringify(authors),
    )
  })

  test('none of this was a surprise to the daemon', async () => {
    assert.doesNotMatch(dorc.output, /request-failed/)
  })
})
