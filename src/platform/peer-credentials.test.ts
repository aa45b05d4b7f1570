import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { accountByName, groupsOf, isInGroup, userName } from './accounts.ts'
import { peerCredentials } from './peer-credentials.ts'

test('peerCredentials() names the process and the user at the other end', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'dorc-peer-'))
  const server = createServer().listen(join(directory, 'socket'))
  await once(server, 'listening')
  const client = connect(join(directory, 'socket'))
  const [socket] = (await once(server, 'connection')) as [Socket]
  t.after(() => {
    client.destroy()
    server.close()
    rmSync(directory, { recursive: true })
  })
  assert.deepEqual(peerCredentials(socket), {
    pid: process.pid,
    uid: process.geteuid?.(),
    gid: process.getegid?.(),
  })
  socket.destroy()
  assert.throws(() => peerCredentials(socket), /The socket is closed/)
})

test('accounts come from the system, numbers stand for what it does not know', () => {
  const { username, uid, gid, homedir } = userInfo()
  const own = accountByName(username)
  assert.deepEqual({ ...own, shell: '' }, { name: username, uid, gid, home: homedir, shell: '' })
  assert.equal(accountByName('no-such-user'), null)
  assert.equal(userName(uid), username)
  assert.equal(userName(3_999_999_999), '3999999999')
  assert.ok(groupsOf(uid).includes(gid))
  assert.deepEqual(groupsOf(3_999_999_999), [])
  assert.equal(isInGroup(0, 'root'), true)
  assert.equal(isInGroup(0, 'no-such-group'), false)
})
