import { readFile } from 'node:fs/promises'
import { build as bundleWith, type Plugin } from 'esbuild'

export interface BundleOptions {
  readonly outdir: string
  /** Another one than that of the sources, as for tests of an upgrade. */
  readonly version?: string
}

/** Bundles dorc's programs. koffi stays outside: it loads its native part from beside itself. */
export async function bundle({ outdir, version }: BundleOptions): Promise<void> {
  await bundleWith({
    entryPoints: {
      dorc: 'src/cli/main.ts',
      dorcd: 'src/daemon/main.ts',
      'dorc-relay': 'src/dataplane/relay/main.ts',
      'dorc-copier': 'src/releases/copier-main.ts',
      'dorc-keeper': 'src/supervisor/embedded/keeper-main.ts',
      'dorc-package': 'src/setup/package-main.ts',
    },
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    external: ['koffi'],
    logLevel: 'warning',
    plugins: version === undefined ? [] : [withVersion(version)],
    // CommonJS dependencies inside an ES module bundle ask for `require`.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);",
    },
  })
}

function withVersion(version: string): Plugin {
  return {
    name: 'version',
    setup(build) {
      build.onLoad({ filter: /\/src\/platform\/version\.ts$/ }, async ({ path }) => {
        const text = await readFile(path, 'utf8')
        return { contents: text.replace(/(?<=VERSION = ').*(?=')/, version), loader: 'ts' }
      })
    },
  }
}
