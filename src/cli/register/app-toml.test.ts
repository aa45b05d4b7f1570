import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'smol-toml'
import { pathsUnder } from '../../platform/paths.ts'
import type { Answers } from './answers.ts'
import { appToml } from './app-toml.ts'

const paths = pathsUnder('/')
const slot = (port: number, workingDir: string) => ({
  port,
  workingDir,
  start: '{executable}',
  stop: '',
  reload: '',
})
const plain: Answers = {
  name: 'web',
  uploadDir: '/var/tmp/web',
  executable: 'bin/app',
  listen: '8080',
  autoSwitch: false,
  slots: {
    blue: slot(21_235, '/var/lib/dorc/apps/web/blue'),
    green: slot(21_236, '/var/lib/dorc/apps/web/green'),
  },
}

const parsed = (toml: string): unknown => JSON.parse(JSON.stringify(parse(toml)))

test('defaults are left out of the file', () => {
  assert.deepEqual(parsed(appToml(plain, paths)), {
    listen: '8080',
    executable: 'bin/app',
    blue: { port: 21_235 },
    green: { port: 21_236 },
  })
})

test('what both slots share is said once, what differs is said for each', () => {
  const { blue, green } = plain.slots
  const answers: Answers = {
    ...plain,
    uploadDir: '/srv/up load',
    autoSwitch: true,
    slots: {
      blue: { ...blue, start: './run --port 21235', stop: 'pkill "x"', workingDir: '/srv/blue' },
      green: { ...green, start: './run --port 21236', stop: 'pkill "x"' },
    },
  }
  assert.deepEqual(parsed(appToml(answers, paths)), {
    listen: '8080',
    upload_dir: '/srv/up load',
    executable: 'bin/app',
    auto_switch: true,
    stop: 'pkill "x"',
    blue: { port: 21_235, dir: '/srv/blue', start: './run --port 21235' },
    green: { port: 21_236, start: './run --port 21236' },
  })
})
