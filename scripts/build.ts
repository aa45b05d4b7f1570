import { rm } from 'node:fs/promises'
import { build } from 'esbuild'

/** Bundles the three programs into dist/. koffi stays outside: it loads its native part from beside itself. */
const outdir = 'dist'
await rm(outdir, { recursive: true, force: true })
await build({
  entryPoints: {
    dorc: 'src/cli/main.ts',
    dorcd: 'src/daemon/main.ts',
    'dorc-relay': 'src/dataplane/relay/main.ts',
    'dorc-copier': 'src/releases/copier-main.ts',
    'dorc-keeper': 'src/supervisor/embedded/keeper-main.ts',
  },
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  external: ['koffi'],
  logLevel: 'warning',
  // CommonJS dependencies inside an ES module bundle ask for `require`.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);",
  },
})
