/** What an fd of the relay's epoll set is. */
export const TAG = { connection: 0, listener: 1, control: 2, runtime: 3 } as const
