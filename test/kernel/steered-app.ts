import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AppStatus } from '../../src/api/protocol.ts'
import type { Slot } from '../../src/core/app.ts'
import { type EmbeddedDorc, freePort } from '../integration/embedded-dorc.ts'
import { lastOf } from '../integration/daemon-app.ts'

export interface SteeredAppOptions {
  readonly name: string
  /** The files of its release by name; the first is the executable. */
  readonly files: Readonly<Record<string, string>>
  readonly start: string
  /** Host part of the listen address; 127.0.0.1 unless told. */
  readonly host?: string
  /** Above its working directories; dorc's own unless told. */
  readonly dirs?: string
  /** More lines of its file, above the tables. */
  readonly keys?: string
}

/** A foreign program as an app of a whole dorc that steers: registered, in both slots, blue active. */
export class SteeredApp {
  readonly dorc: EmbeddedDorc
  readonly name: string
  readonly port: number
  readonly slotPorts: Readonly<Record<Slot, number>>

  private constructor(
    dorc: EmbeddedDorc,
    name: string,
    ports: { listen: number; blue: number; green: number },
  ) {
    this.dorc = dorc
    this.name = name
    this.port = ports.listen
    this.slotPorts = ports
  }

  static async register(dorc: EmbeddedDorc, options: SteeredAppOptions): Promise<SteeredApp> {
    const { name, files, start, host = '127.0.0.1', dirs, keys = '' } = options
    const ports = { listen: await freePort(), blue: await freePort(), green: await freePort() }
    const upload = join(dorc.root, 'uploads', name)
    await mkdir(upload, { recursive: true })
    for (const [file, text] of Object.entries(files)) {
      await writeFile(join(upload, file), text)
      await chmod(join(upload, file), 0o755)
    }
    const toml = `listen = "${host}:${ports.listen}"
upload_dir = "${upload}"
executable = "${Object.keys(files)[0]}"
start = ${JSON.stringify(start)}
min_healthy = "200ms"
bake = "0s"
watch = false
${keys}
[probe]
tcp = true
interval = "100ms"
[blue]
port = ${ports.blue}
${dirs === undefined ? '' : `dir = "${dirs}/blue"`}
[green]
port = ${ports.green}
${dirs === undefined ? '' : `dir = "${dirs}/green"`}
`
    await dorc.client.register({ name, toml })
    const app = new SteeredApp(dorc, name, ports)
    await app.until(
      'both slots are ready and steered',
      ({ slots, dataPlane, deploy }) =>
        slots.blue.ready && slots.green.ready && deploy?.state === 'live' && dataPlane === 'steering',
    )
    return app
  }

  status = (): Promise<AppStatus> => this.dorc.client.app(this.name)

  until(what: string, holds: (status: AppStatus) => boolean): Promise<void> {
    return this.dorc.until(`${this.name}: ${what}`, async () => holds(await this.status()))
  }

  /** Returns once it is proven; throws what kept it from being. */
  async switch(): Promise<void> {
    const command = { to: null, force: false }
    const done = await lastOf(this.dorc.client.switch(this.name, command, null, new AbortController().signal))
    if (!done.ok) throw new Error(done.message)
  }
}
