import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { openSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

test('a file that the program was started with reaches no program that it starts', () => {
  const module = fileURLToPath(new URL('./close-on-exec.ts', import.meta.url))
  const list = `process.stdout.write(String(require('node:child_process').execFileSync('/bin/ls', ['/proc/self/fd'])))`
  const run = (first: string): string[] => {
    const program = `${first}${list}`
    const stdio: ('ignore' | 'pipe' | 'inherit' | number)[] = ['ignore', 'pipe', 'inherit']
    for (let fd = 3; fd < 40; fd += 1) stdio.push('ignore')
    stdio.push(openSync('/etc/passwd', 'r'))
    // Gaps before it: of fds in one row Node itself takes care.
    const script = `for fd in $(seq 3 39); do eval "exec $fd<&-"; done; exec "$@"`
    const words = ['-c', script, 'bash', process.execPath, '-e', program]
    return spawnSync('/bin/bash', words, { stdio }).stdout.toString().trim().split('\n')
  }
  assert.ok(run('').includes('40'), 'it would be inherited')
  assert.ok(!run(`require(${JSON.stringify(module)}).closeFilesOnExec();`).includes('40'))
})
