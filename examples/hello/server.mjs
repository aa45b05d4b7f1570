#!/usr/bin/env node
// The app of the demo: answers over HTTP, keeps WebSocket-like connections open on /talk, and stops politely.
import { createServer } from 'node:http'
import { readFileSync } from 'node:fs'

const text = readFileSync(new URL('greeting.txt', import.meta.url), 'utf8').trim()
const { PORT, DORC_SLOT, DORC_RELEASE } = process.env

const server = createServer((request, response) => {
  response.setHeader('x-release', DORC_RELEASE ?? '?')
  response.end(`${text} (release ${DORC_RELEASE}, ${DORC_SLOT})\n`)
})
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n')
  socket.on('data', (line) => socket.write(`${DORC_SLOT} heard ${line}`))
  socket.on('error', () => socket.destroy())
})
server.keepAliveTimeout = 75_000
server.listen(Number(PORT), '127.0.0.1', () => console.log(`${text}: listening on ${PORT}`))
process.on('SIGTERM', () => {
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
