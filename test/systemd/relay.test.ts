import { test } from 'node:test'
import { runGuestTests } from './guest-tests.ts'
import { bootMachine } from './machine.ts'

test('public sockets and relays under systemd', async (t) => {
  await using machine = await bootMachine({ name: 'relay' })
  await runGuestTests(t, machine, 'relay.guest.ts')
})
