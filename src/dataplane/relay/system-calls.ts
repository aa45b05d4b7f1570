import { endianness } from 'node:os'
import { libc } from '../../platform/libc.ts'

/**
 * The system calls of the relay's data path. Addresses go in as plain numbers (user space has 47 or 48 bits), which
 * spares the marshalling of a Buffer at each call; `addressOf` makes them. Results are raw: negative means errno.
 */
export const accept4 = libc.func('int accept4(int fd, uintptr_t address, uintptr_t length, int flags)')
export const bind = libc.func('int bind(int fd, void *address, uint32_t length)')
export const close = libc.func('int close(int fd)')
export const connect = libc.func('int connect(int fd, uintptr_t address, uint32_t length)')
export const epollCreate1 = libc.func('int epoll_create1(int flags)')
export const epollCtl = libc.func('int epoll_ctl(int epoll, int operation, int fd, uintptr_t event)')
export const epollWait = libc.func('int epoll_wait(int epoll, uintptr_t events, int max, int timeout)')
export const fcntl = libc.func('int fcntl(int fd, int command, long argument)')
export const getpeername = libc.func('int getpeername(int fd, void *address, void *length)')
export const getrlimit = libc.func('int getrlimit(int resource, void *limit)')
export const getsockname = libc.func('int getsockname(int fd, void *address, void *length)')
export const getsockopt = libc.func('int getsockopt(int fd, int level, int name, void *value, void *length)')
export const listen = libc.func('int listen(int fd, int backlog)')
// The result fits an int: no call asks for more than 2 GiB. An int spares the 64-bit conversion.
export const recv = libc.func('int recv(int fd, uintptr_t buffer, uintptr_t length, int flags)')
export const send = libc.func('int send(int fd, uintptr_t buffer, uintptr_t length, int flags)')
export const setrlimit = libc.func('int setrlimit(int resource, void *limit)')
export const setsockopt = libc.func(
  'int setsockopt(int fd, int level, int name, void *value, uint32_t length)',
)
export const shutdown = libc.func('int shutdown(int fd, int how)')
export const socket = libc.func('int socket(int family, int type, int protocol)')

/** Values of the generic Linux ABI, the same on x86-64 and arm64 (asm-generic/socket.h, bits/socket.h). */
export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const SOCK_STREAM = 1
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const SOL_SOCKET = 1
export const SO_REUSEADDR = 2
export const SO_ERROR = 4
export const SO_KEEPALIVE = 9
export const SO_LINGER = 13
export const IPPROTO_IP = 0
export const IPPROTO_TCP = 6
export const IPPROTO_IPV6 = 41
export const IP_BIND_ADDRESS_NO_PORT = 24
export const IPV6_V6ONLY = 26
export const TCP_NODELAY = 1
export const TCP_KEEPIDLE = 4
export const TCP_KEEPINTVL = 5
export const TCP_KEEPCNT = 6
export const SHUT_WR = 1
export const MSG_PEEK = 0x2
export const MSG_DONTWAIT = 0x40
export const MSG_NOSIGNAL = 0x4000
export const MSG_MORE = 0x8000
export const F_GETFL = 3
export const F_SETFL = 4
export const F_DUPFD_CLOEXEC = 1030
export const O_NONBLOCK = 0o4000
export const RLIMIT_NOFILE = 7

if (endianness() !== 'LE') throw new Error('The relay knows the little-endian struct layouts only')
