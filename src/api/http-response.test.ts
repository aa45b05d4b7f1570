import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DorcError } from '../core/errors.ts'
import { readDocuments, readResponse, readText } from './http-response.ts'

/** The text as a socket may deliver it: cut anywhere. */
async function* inPieces(text: string, size: number): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const sizes = [1, 2, 3, 7, 10_000]
const counted =
  'HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"a":"ö"}'
const chunked =
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n6\r\n:1}\n{"\r\n6\r\nb":2}\n\r\n0\r\n\r\n'

test('a body of known length is read to its end, however it is cut', async () => {
  for (const size of sizes) {
    const { status, body } = await readResponse(inPieces(`${counted}more`, size))
    assert.equal(status, 404)
    assert.equal(await readText(body), '{"a":"ö"}')
  }
})

test('documents of a stream come whole, though chunks end within them', async () => {
  for (const size of sizes) {
    const { body } = await readResponse(inPieces(chunked, size))
    const documents: unknown[] = []
    for await (const document of readDocuments(body)) documents.push(document)
    assert.deepEqual(documents, [{ a: 1 }, { b: 2 }])
  }
})

test('an answer that is cut short is an error, not the end', async () => {
  const isCutShort = (error: unknown): boolean => error instanceof DorcError && error.code === 'DAEMON_FAILED'
  await assert.rejects(readResponse(inPieces('HTTP/1.1 200 OK\r\nContent-', 5)), isCutShort)
  const { body } = await readResponse(inPieces(chunked.slice(0, -12), 5))
  await assert.rejects(readText(body), isCutShort)
})

test('what is not HTTP is told as an answer that cannot be understood', async () => {
  await assert.rejects(readResponse(inPieces('SSH-2.0-OpenSSH_9\r\n\r\n', 5)), /cannot be understood/)
})
