export interface Progress {
  readonly files: number
  readonly bytes: number
  readonly totalFiles: number
  readonly totalBytes: number
}

export interface ProgressCounter {
  readonly fileDone: () => void
  readonly bytesDone: (bytes: number) => void
}

/** Reports after each chunk and each file; how often that is passed on is the receiver's choice. */
export function countProgress(
  sources: readonly { readonly size: number }[],
  report: (progress: Progress) => void,
): ProgressCounter {
  const totalBytes = sources.reduce((sum, { size }) => sum + size, 0)
  let [files, bytes] = [0, 0]
  const tell = (): void => report({ files, bytes, totalFiles: sources.length, totalBytes })
  return {
    fileDone: () => {
      files += 1
      tell()
    },
    bytesDone: (more) => {
      bytes += more
      tell()
    },
  }
}
