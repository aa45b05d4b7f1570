import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { BULK_BYTES, type Path } from './peers.ts'
import { median, type Row } from './row.ts'

const exec = promisify(execFile)

interface Sample {
  readonly value: number
  readonly p50Ms?: number
  readonly p99Ms?: number
}

/** The three kinds of load: many small requests, many new connections, few large bodies. */
const cases: readonly {
  name: string
  unit: string
  measure: (path: Path, seconds: number) => Promise<Sample>
}[] = [
  { name: 'keepalive', unit: 'req/s', measure: (path, seconds) => wrk(path, seconds, []) },
  {
    name: 'new-connections',
    unit: 'conn/s',
    measure: (path, seconds) => wrk(path, seconds, ['-H', 'Connection: close']),
  },
  { name: 'bulk', unit: 'MB/s', measure: (path) => bulk(path) },
]

/** Every path in turns, round by round, so that what the machine does meanwhile hits all alike; then medians. */
export async function measureTraffic(
  paths: readonly Path[],
  { rounds, seconds }: { rounds: number; seconds: number },
): Promise<Row[]> {
  const samples = new Map<string, Sample[]>()
  for (let round = 0; round < rounds; round += 1) {
    for (const { name, measure } of cases) {
      for (const path of round % 2 === 0 ? paths : [...paths].reverse()) {
        const key = `${name} ${path.name}`
        samples.set(key, [...(samples.get(key) ?? []), await measure(path, seconds)])
      }
    }
    console.error(`round ${round + 1} of ${rounds}`)
  }
  return cases.flatMap(({ name, unit }) =>
    paths.map((path) => ({
      case: name,
      path: path.name,
      unit,
      ...summary(samples.get(`${name} ${path.name}`) ?? []),
    })),
  )
}

function summary(samples: readonly Sample[]): Sample {
  const of = (key: 'p50Ms' | 'p99Ms'): number[] =>
    samples.map((sample) => sample[key]).filter((value) => value !== undefined)
  const value = median(samples.map((sample) => sample.value))
  return of('p99Ms').length === 0
    ? { value }
    : { value, p50Ms: median(of('p50Ms')), p99Ms: median(of('p99Ms')) }
}

async function wrk(path: Path, seconds: number, extra: readonly string[]): Promise<Sample> {
  const url = `http://127.0.0.1:${path.port}/small`
  const { stdout } = await exec('wrk', ['-t1', '-c64', `-d${seconds}s`, '--latency', ...extra, url])
  const failed = /Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)/.exec(stdout)
  // wrk counts a server's own close of a `Connection: close` answer as a read error in some versions.
  if (failed !== null && !/connect 0, read \d+, write 0, timeout 0/.test(failed[0])) {
    throw new Error(`${path.name} failed under load: ${failed[0]}`)
  }
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]
  return { value: Number(rate), p50Ms: percentile(stdout, 50), p99Ms: percentile(stdout, 99) }
}

function percentile(output: string, which: number): number {
  const [, text, unit] = new RegExp(`^\\s+${which}%\\s+([\\d.]+)(us|ms|s)$`, 'm').exec(output) ?? []
  return Number(text) * (unit === 'us' ? 0.001 : unit === 's' ? 1_000 : 1)
}

/** The best of three downloads: one stream is bound by the copy through the kernel, and by luck with cores. */
async function bulk(path: Path): Promise<Sample> {
  const speeds: number[] = []
  for (let turn = 0; turn < 3; turn += 1) {
    const url = `http://127.0.0.1:${path.port}/bulk`
    const { stdout } = await exec('curl', [
      '-s',
      '-o',
      '/dev/null',
      '-w',
      '%{size_download} %{time_total}',
      url,
    ])
    const [bytes = 0, seconds = 1] = stdout.split(' ').map(Number)
    if (bytes !== BULK_BYTES) throw new Error(`${path.name} sent ${bytes} of ${BULK_BYTES} bytes`)
    speeds.push(bytes / seconds / 1e6)
  }
  return { value: Math.max(...speeds) }
}
