import { test } from 'node:test'
import { runGuestTests } from './guest-tests.ts'
import { bootMachine } from './machine.ts'

test('the systemd supervisor keeps the contract of supervisors', async (t) => {
  await using machine = await bootMachine({ name: 'supervisor' })
  await runGuestTests(t, machine, 'supervisor.guest.ts')
})

test('units are what systemd makes of them', async (t) => {
  await using machine = await bootMachine({ name: 'units' })
  await runGuestTests(t, machine, 'unit-files.guest.ts')
})

test('the bus may come and go', async (t) => {
  await using machine = await bootMachine({ name: 'bus' })
  await runGuestTests(t, machine, 'bus.guest.ts')
})
