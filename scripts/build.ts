import { rm } from 'node:fs/promises'
import { bundle } from './bundle.ts'

await rm('dist', { recursive: true, force: true })
await bundle({ outdir: 'dist' })
