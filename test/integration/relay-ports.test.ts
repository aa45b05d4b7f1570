import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const isRoot = process.getuid?.() === 0

test('a relay out of ephemeral ports towards the slot goes on from other loopback addresses', {
  skip: !isRoot && 'needs root for a network namespace',
}, () => {
  const script = fileURLToPath(new URL('./port-exhaustion.ts', import.meta.url))
  const inside =
    'ip link set lo up && echo 50000 50049 > /proc/sys/net/ipv4/ip_local_port_range && exec "$0" --test-reporter=tap "$1"'
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const run = spawnSync('unshare', ['--net', 'sh', '-c', inside, process.execPath, script], {
    encoding: 'utf8',
    env,
  })
  assert.equal(run.status, 0, `${run.stdout}${run.stderr}`)
  assert.match(run.stdout, /# pass 1\n/)
})
