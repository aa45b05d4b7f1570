import { createServer } from 'node:http'

/** `named-server.mjs NAME [BACKLOG]` answers every request with its name, and what upgrades with an echo; prints its port. */
const [, , name, backlog = '4096'] = process.argv
const server = createServer({ keepAliveTimeout: 0 }, (_request, response) => response.end(name))
server.on('upgrade', (_request, socket) => {
  socket.on('error', () => socket.destroy())
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
  socket.pipe(socket)
})
server.listen({ host: '127.0.0.1', port: 0, backlog: Number(backlog) }, () =>
  console.log(server.address().port),
)
