/**
 * Assembles eBPF. One method an instruction, in the words of the kernel's documentation (Documentation/bpf/
 * standardization/instruction-set.rst): `r1` to `r5` carry a call's arguments and are lost by it, `r6` to `r9` keep
 * their values, `r0` is the result, `r10` points to the end of the stack.
 */
export const r0 = 0
export const r1 = 1
export const r2 = 2
export const r3 = 3
export const r4 = 4
export const r6 = 6
export const r7 = 7
export const r8 = 8
export const r9 = 9
export const r10 = 10

export type Register =
  | typeof r0
  | typeof r1
  | typeof r2
  | typeof r3
  | typeof r4
  | typeof r6
  | typeof r7
  | typeof r8
  | typeof r9
  | typeof r10

/** Bytes. */
export type Width = 2 | 4 | 8
/** Where in memory: a register and what is added to it. */
export type Place = readonly [base: Register, offset: number]
export type Comparison = '==' | '!='

const INSTRUCTION_BYTES = 8

/** Opcodes: class | size or operation | mode or source. */
const LOAD = 0x61 & ~0x18
const STORE = 0x63 & ~0x18
const STORE_IMMEDIATE = 0x62 & ~0x18
const SIZE: Readonly<Record<Width, number>> = { 2: 0x08, 4: 0x00, 8: 0x18 }
const LOAD_64_BIT_IMMEDIATE = 0x18
const ADD_IMMEDIATE = 0x07
const AND_IMMEDIATE = 0x57
const MOVE = 0xbf
const MOVE_IMMEDIATE = 0xb7
const JUMP = 0x05
const JUMP_IF: Readonly<Record<Comparison, number>> = { '==': 0x15, '!=': 0x55 }
const COMPARE_WITH_REGISTER = 0x08
const CALL = 0x85
const EXIT = 0x95
/** The source register of LOAD_64_BIT_IMMEDIATE says that the number is a map's fd. */
const IS_MAP_FD = 1

interface Instruction {
  readonly code: number
  readonly to?: Register
  readonly from?: Register | typeof IS_MAP_FD
  readonly offset?: number
  readonly immediate?: number
  /** Its offset is the way to this label. */
  readonly label?: string
}

export class Assembler {
  readonly #instructions: Instruction[] = []
  readonly #labels = new Map<string, number>()

  load(width: Width, to: Register, [from, offset]: Place): void {
    this.#emit({ code: LOAD | SIZE[width], to, from, offset })
  }

  store(width: Width, [to, offset]: Place, from: Register): void {
    this.#emit({ code: STORE | SIZE[width], to, from, offset })
  }

  storeNumber(width: Width, [to, offset]: Place, immediate: number): void {
    this.#emit({ code: STORE_IMMEDIATE | SIZE[width], to, offset, immediate })
  }

  move(to: Register, from: Register): void {
    this.#emit({ code: MOVE, to, from })
  }

  moveNumber(to: Register, immediate: number): void {
    this.#emit({ code: MOVE_IMMEDIATE, to, immediate })
  }

  /** `to` becomes the address of a place. */
  pointTo(to: Register, [base, offset]: Place): void {
    this.move(to, base)
    this.#emit({ code: ADD_IMMEDIATE, to, immediate: offset })
  }

  and(to: Register, immediate: number): void {
    this.#emit({ code: AND_IMMEDIATE, to, immediate })
  }

  loadMap(to: Register, fd: number): void {
    this.#emit({ code: LOAD_64_BIT_IMMEDIATE, to, from: IS_MAP_FD, immediate: fd })
    this.#emit({ code: 0 })
  }

  call(helper: number): void {
    this.#emit({ code: CALL, immediate: helper })
  }

  jump(label: string): void {
    this.#emit({ code: JUMP, label })
  }

  /** Compares all 64 bits. */
  jumpIf(one: Register, comparison: Comparison, immediate: number, label: string): void {
    this.#emit({ code: JUMP_IF[comparison], to: one, immediate, label })
  }

  jumpIfRegister(one: Register, comparison: Comparison, other: Register, label: string): void {
    this.#emit({ code: JUMP_IF[comparison] | COMPARE_WITH_REGISTER, to: one, from: other, label })
  }

  exit(): void {
    this.#emit({ code: EXIT })
  }

  /** Names the next instruction. */
  label(name: string): void {
    if (this.#labels.has(name)) throw new Error(`Label "${name}" is there twice`)
    this.#labels.set(name, this.#instructions.length)
  }

  /** The program in the byte order of this machine, as BPF_PROG_LOAD takes it: little-endian, on all that Node runs on here. */
  assemble(): Buffer {
    const bytes = Buffer.alloc(this.#instructions.length * INSTRUCTION_BYTES)
    for (const [index, instruction] of this.#instructions.entries()) {
      const { code, to = 0, from = 0, immediate = 0, label } = instruction
      const at = index * INSTRUCTION_BYTES
      const offset = label === undefined ? (instruction.offset ?? 0) : this.#wayTo(label, index)
      bytes.writeUInt8(code, at)
      bytes.writeUInt8(to | (from << 4), at + 1)
      bytes.writeInt16LE(offset, at + 2)
      bytes.writeInt32LE(immediate, at + 4)
    }
    return bytes
  }

  #wayTo(label: string, from: number): number {
    const to = this.#labels.get(label)
    if (to === undefined) throw new Error(`There is no label "${label}"`)
    return to - from - 1
  }

  #emit(instruction: Instruction): void {
    this.#instructions.push(instruction)
  }
}
