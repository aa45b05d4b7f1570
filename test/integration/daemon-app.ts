import { chmod, cp, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { AppStatus, DeployCommand, ProgressLine } from '../../src/api/protocol.ts'
import { type EmbeddedDorc, freePort } from './embedded-dorc.ts'

export type Done = Extract<ProgressLine, { kind: 'done' }>

/** An app of an embedded daemon, asked for over the API as the CLI asks. */
export class DaemonApp {
  readonly dorc: EmbeddedDorc
  readonly name: string
  readonly listen: number
  readonly upload: string

  private constructor(dorc: EmbeddedDorc, name: string, listen: number) {
    this.dorc = dorc
    this.name = name
    this.listen = listen
    this.upload = join(dorc.root, 'uploads', name)
  }

  /** Registered with a release that answers `NAME one`, both slots ready. `keys` are lines of its file that differ. */
  static async register(dorc: EmbeddedDorc, name: string, keys = ''): Promise<DaemonApp> {
    const app = await DaemonApp.prepare(dorc, name)
    await app.put(await dorc.release(`${name}-one`, `${name} one`))
    await dorc.client.register({ name, toml: await app.toml(keys) })
    await dorc.until(`${name} is ready in both slots`, async () => {
      const { slots, deploy } = await app.status()
      return slots.blue.ready && slots.green.ready && deploy?.state === 'live'
    })
    return app
  }

  /** With nothing registered or uploaded yet. */
  static async prepare(dorc: EmbeddedDorc, name: string): Promise<DaemonApp> {
    const app = new DaemonApp(dorc, name, await freePort())
    await mkdir(app.upload, { recursive: true })
    return app
  }

  /** Quick enough to test with: the times of a real app are minutes. */
  async toml(keys = ''): Promise<string> {
    return `listen = "127.0.0.1:${this.listen}"
upload_dir = "${this.upload}"
executable = "bin/serve"
settle = "300ms"
min_healthy = "200ms"
stop_timeout = "5s"
${/^bake/m.test(keys) ? '' : 'bake = "0s"'}
${/^watch/m.test(keys) ? '' : 'watch = false'}
${keys}
[probe]
http = "/"
interval = "100ms"
[blue]
port = ${await freePort()}
[green]
port = ${await freePort()}
`
  }

  /** What lies in the upload directory from now on, all of it at once. */
  async put(release: string): Promise<void> {
    const fresh = `${this.upload}.new`
    await cp(release, fresh, { recursive: true })
    await chmod(fresh, 0o755)
    await rm(this.upload, { recursive: true, force: true })
    await rename(fresh, this.upload)
  }

  status = (): Promise<AppStatus> => this.dorc.client.app(this.name)

  deploy(path: string | null, command: Partial<DeployCommand> = {}): Promise<Done> {
    const whole = { path, switch: false, force: false, wait: 'ready', ...command } as const
    return lastOf(this.dorc.client.deploy(this.name, whole, null, NEVER))
  }

  switch(force = false): Promise<Done> {
    return lastOf(this.dorc.client.switch(this.name, { to: null, force }, null, NEVER))
  }

  rollback(release: number | null = null): Promise<Done> {
    return lastOf(this.dorc.client.rollback(this.name, { release, force: false }, null, NEVER))
  }

  /** Fails with a sentence if it does not come true. */
  until(what: string, holds: (status: AppStatus) => boolean): Promise<void> {
    return this.dorc.until(`${this.name}: ${what}`, async () => holds(await this.status()))
  }
}

const NEVER = new AbortController().signal

/** The outcome that ends such a stream. */
export async function lastOf(lines: AsyncIterable<ProgressLine>): Promise<Done> {
  let last: ProgressLine | null = null
  for await (const line of lines) last = line
  if (last?.kind !== 'done') throw new Error(`The stream ended with ${JSON.stringify(last)}`)
  return last
}
