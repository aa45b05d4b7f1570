import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { notifySystemd } from './notify.ts'

test('a state reaches the socket that NOTIFY_SOCKET names', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'dorc-notify-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'notify')
  const listen = `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
print(s.recv(100).decode(), flush=True)`
  const receiver = spawn('python3', ['-c', listen, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => receiver.kill())
  let output = ''
  const received = new Promise<void>((resolve) => {
    receiver.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
      if (output === 'bound\n') {
        process.env['NOTIFY_SOCKET'] = path
        notifySystemd('READY=1\nSTATUS=serving')
      }
    })
    receiver.once('close', () => resolve())
  })
  t.after(() => delete process.env['NOTIFY_SOCKET'])
  await received
  assert.equal(output, 'bound\nREADY=1\nSTATUS=serving\n')
})

test('without systemd a state goes nowhere', () => {
  delete process.env['NOTIFY_SOCKET']
  notifySystemd('READY=1')
})
