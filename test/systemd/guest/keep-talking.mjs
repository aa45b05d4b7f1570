// Holds one keep-alive connection open and asks on it again and again until its standard input ends; then tells how
// often it was answered, by whom, and whether the connection broke.
import { connect } from 'node:net'

const [, , port] = process.argv
const socket = connect(Number(port), '127.0.0.1')
const answers = new Set()
let count = 0
let broken = null
let isStopping = false
socket.setNoDelay(true)
socket.on('connect', () => console.log('connected'))
socket.on('error', (error) => (broken = error.code))
socket.on('close', () => {
  if (!isStopping) broken ??= 'closed'
})
socket.on('data', (data) => {
  count += 1
  answers.add(data.toString().trimEnd().split('\n').at(-1))
})
const ask = setInterval(() => socket.write('GET / HTTP/1.1\r\nHost: old\r\n\r\n'), 20)
process.stdin.on('end', () => {
  isStopping = true
  clearInterval(ask)
  setTimeout(() => {
    socket.destroy()
    console.log(JSON.stringify({ count, answers: [...answers], broken }))
  }, 200)
})
process.stdin.resume()
