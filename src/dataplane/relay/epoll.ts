import koffi from 'koffi'
import { check } from '../../platform/libc.ts'
import { close, epollCreate1, epollCtl, epollWait } from './system-calls.ts'

export const EPOLLIN = 0x1
export const EPOLLPRI = 0x2
export const EPOLLOUT = 0x4
export const EPOLLERR = 0x8
export const EPOLLHUP = 0x10
export const EPOLLRDHUP = 0x2000
export const EPOLLET = 0x80000000 | 0

const EPOLL_CLOEXEC = 0o2000000
const EINTR = 4
const ADD = 1
const DELETE = 2
const MODIFY = 3

/** `struct epoll_event` is packed (12 bytes) on x86-64 only; elsewhere the data are aligned to 8 (sys/epoll.h). */
const WORDS_PER_EVENT = process.arch === 'x64' ? 3 : 4
const DATA_WORD = process.arch === 'x64' ? 1 : 2
const MAX_EVENTS = 512

/** One epoll set. Each fd carries a `tag`, a small number that says what it is, beside itself. */
export class Epoll {
  readonly #fd = check('epoll_create1', epollCreate1(EPOLL_CLOEXEC))
  // Over an ArrayBuffer of their own: only that memory never moves.
  readonly #events = new Int32Array(new ArrayBuffer(MAX_EVENTS * WORDS_PER_EVENT * 4))
  readonly #eventsAddress = Number(koffi.address(this.#events))
  readonly #wanted = new Int32Array(new ArrayBuffer(16))
  readonly #wantedAddress = Number(koffi.address(this.#wanted))

  add(fd: number, events: number, tag: number): void {
    check('epoll_ctl', this.#control(ADD, fd, events, tag))
  }

  modify(fd: number, events: number, tag: number): void {
    check('epoll_ctl', this.#control(MODIFY, fd, events, tag))
  }

  /** Needed for fds that another process holds too: closing ours does not end their events (epoll(7), question 6). */
  remove(fd: number): void {
    check('epoll_ctl', this.#control(DELETE, fd, 0, 0))
  }

  /** The number of events, read with the three below; 0 after `timeoutMs` (-1: no end) or if interrupted. */
  wait(timeoutMs: number): number {
    const count = epollWait(this.#fd, this.#eventsAddress, MAX_EVENTS, timeoutMs) as number
    if (count >= 0) return count
    if (koffi.errno() === EINTR) return 0
    return check('epoll_wait', count)
  }

  eventsAt(index: number): number {
    return this.#events[index * WORDS_PER_EVENT] ?? 0
  }

  fdAt(index: number): number {
    return this.#events[index * WORDS_PER_EVENT + DATA_WORD] ?? 0
  }

  tagAt(index: number): number {
    return this.#events[index * WORDS_PER_EVENT + DATA_WORD + 1] ?? 0
  }

  close(): void {
    close(this.#fd)
  }

  #control(operation: number, fd: number, events: number, tag: number): number {
    this.#wanted[0] = events
    this.#wanted[DATA_WORD] = fd
    this.#wanted[DATA_WORD + 1] = tag
    return epollCtl(this.#fd, operation, fd, this.#wantedAddress) as number
  }
}
