import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Assembler, r0, r1, r2, r10 } from './assembler.ts'

/** The other side of each line is what `llvm-objdump -d` calls these bytes (opcodes: RFC 9669). */
const cases: [string, (asm: Assembler) => void, string][] = [
  ['r2 = *(u32 *)(r1 + 60)', (asm) => asm.load(4, r2, [r1, 60]), '61123c0000000000'],
  ['r2 = *(u16 *)(r1 + 36)', (asm) => asm.load(2, r2, [r1, 36]), '6912240000000000'],
  ['*(u64 *)(r10 - 8) = r0', (asm) => asm.store(8, [r10, -8], r0), '7b0af8ff00000000'],
  ['*(u32 *)(r10 - 4) = 7', (asm) => asm.storeNumber(4, [r10, -4], 7), '620afcff07000000'],
  ['r1 = r10; r1 += -24', (asm) => asm.pointTo(r1, [r10, -24]), 'bfa100000000000007010000e8ffffff'],
  ['r0 = 1', (asm) => asm.moveNumber(r0, 1), 'b700000001000000'],
  ['r2 &= 255', (asm) => asm.and(r2, 255), '57020000ff000000'],
  ['call 124', (asm) => asm.call(124), '850000007c000000'],
  ['r1 = map fd 5', (asm) => asm.loadMap(r1, 5), '18110000050000000000000000000000'],
  ['exit', (asm) => asm.exit(), '9500000000000000'],
]

for (const [text, write, expected] of cases)
  test(`assembles ${text}`, () => {
    const asm = new Assembler()
    write(asm)
    assert.equal(asm.assemble().toString('hex'), expected)
  })

test('a jump goes to its label, forwards and backwards', () => {
  const asm = new Assembler()
  asm.label('start')
  asm.jumpIf(r0, '==', 3, 'end')
  asm.jumpIfRegister(r1, '!=', r2, 'start')
  asm.jump('start')
  asm.label('end')
  asm.exit()
  const words = asm.assemble().toString('hex').match(/.{16}/g)
  assert.deepEqual(words, ['1500020003000000', '5d21feff00000000', '0500fdff00000000', '9500000000000000'])
})

test('a label that is not there, or twice, is refused', () => {
  const lost = new Assembler()
  lost.jump('nowhere')
  assert.throws(() => lost.assemble(), /no label "nowhere"/)
  const twice = new Assembler()
  twice.label('here')
  assert.throws(() => twice.label('here'), /"here" is there twice/)
})
