import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cgroupRoot } from './cgroup.ts'

const v2 = '30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate'
const hybrid = '31 25 0:27 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw'
const v1 = '32 25 0:28 / /sys/fs/cgroup/systemd rw shared:6 - cgroup cgroup rw,xattr,name=systemd'
const cpu = '33 25 0:29 / /sys/fs/cgroup/cpu rw shared:7 - cgroup cgroup rw,cpu'

test('processes of units are looked for in the tree of systemd, in each layout', () => {
  assert.equal(cgroupRoot(v2), '/sys/fs/cgroup')
  assert.equal(cgroupRoot([cpu, v1, hybrid].join('\n')), '/sys/fs/cgroup/unified')
  assert.equal(cgroupRoot([cpu, v1].join('\n')), '/sys/fs/cgroup/systemd')
})
