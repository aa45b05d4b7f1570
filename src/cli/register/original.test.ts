import assert from 'node:assert/strict'
import { test } from 'node:test'
import { originalAnswers } from './original.ts'

const head = `
app_name = "web"
release_dir = "/var/tmp/web"
release_bin = "/var/tmp/web/target/web"
listen_port = 8080
`
const service = (table: string, slot: string, port: number): string => `
[${table}]
qualified_name = "${slot}-web"
working_dir = "/etc/dorc/service-data/${slot}-web"
port = ${port}
on_start = "${slot}-web -p ${port}"
on_reload = [""]
on_stop = ["killall ${slot}-web"]
`
const slot = (name: string, port: number) => ({
  workingDir: `/etc/dorc/service-data/${name}-web`,
  port,
  start: `{executable} -p ${port}`,
  stop: '',
  reload: '',
})
const expected = {
  name: 'web',
  uploadDir: '/var/tmp/web',
  executable: 'target/web',
  listen: '8080',
  autoSwitch: false,
  slots: { blue: slot('blue', 21_235), green: slot('green', 21_236) },
}

test('a file of 0.3 keeps its directories, ports and commands', () => {
  const text = head + service('active_service', 'green', 21_236) + service('inactive_service', 'blue', 21_235)
  assert.deepEqual(originalAnswers(text), expected)
})

test('an older file, with its services in one table, is understood too', () => {
  const services =
    service('subservices.blue-web', 'blue', 21_235) + service('subservices.green-web', 'green', 21_236)
  assert.deepEqual(originalAnswers(`active_service = "green-web"\n${head}${services}`), expected)
})

test('a command that was looked up in the path still is', () => {
  const text = (
    head +
    service('active_service', 'green', 21_236) +
    service('inactive_service', 'blue', 21_235)
  )
    .replace('on_reload = [""]', `on_reload = ["pkill -HUP -f 'web x'"]`)
    .replace('killall green-web', '/bin/kill -TERM $MAINPID')
  const green = originalAnswers(text)?.slots.green
  assert.equal(green?.reload, `/usr/bin/env pkill -HUP -f 'web x'`)
  assert.equal(green?.stop, `/bin/kill -TERM '$MAINPID'`)
})

test('a file of ours, and one that is not TOML, are not taken for the original', () => {
  assert.equal(originalAnswers('listen = "8080"\nexecutable = "app"\n'), null)
  assert.equal(originalAnswers('listen = = 8080'), null)
})

test('an original that lost a service is refused', () => {
  assert.throws(
    () => originalAnswers(head + service('active_service', 'green', 21_236)),
    /nothing of "blue-web"/,
  )
})
