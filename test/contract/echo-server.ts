import { type AddressInfo, createServer } from 'node:net'
import { namedEcho } from './tcp-peers.ts'

/** A slot in a process of its own: `echo-server.ts NAME` prints its port and lives until it is killed. */
const server = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => socket.destroy())
  namedEcho(process.argv[2] ?? '')(socket)
})
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
