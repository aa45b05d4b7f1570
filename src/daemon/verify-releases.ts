import type { ReleaseCheck } from '../api/protocol.ts'
import { type App, type ReleaseNumber, SLOTS, type Slot } from '../core/app.ts'
import { DorcError, hasCode } from '../core/errors.ts'
import type { Deviation, ReleaseStore } from '../releases/release-store.ts'

/** Reads one release, or with null all, again: in the store and in the slots that have it. Throws RELEASE_UNKNOWN. */
export async function verifyReleases(
  releases: ReleaseStore,
  app: App,
  wanted: ReleaseNumber | null,
): Promise<ReleaseCheck[]> {
  const numbers = wanted === null ? await allNumbers(releases, app) : [wanted]
  const checks: ReleaseCheck[] = []
  // One after the other: what they wait for is the same disk.
  for (const number of numbers) {
    const { release, files, bytes, deviations } = await verifyStored(releases, app.name, number)
    const inStore = deviations.map((deviation) => ({ where: 'store' as const, ...deviation }))
    const inSlots = inStore.length > 0 ? [] : await verifySlots(releases, app, number)
    checks.push({ release, files, bytes, deviations: [...inStore, ...inSlots] })
  }
  return checks
}

/** One with a damaged record is not listed, and still a slot may need it. */
async function allNumbers(releases: ReleaseStore, app: App): Promise<ReleaseNumber[]> {
  const inSlots = SLOTS.flatMap((slot) => app.slots[slot]?.release ?? [])
  const listed = (await releases.list(app.name)).map(({ number }) => number)
  return [...new Set([...listed, ...inSlots])].toSorted((a, b) => a - b)
}

async function verifyStored(releases: ReleaseStore, app: string, number: ReleaseNumber) {
  try {
    return await releases.verify(app, number)
  } catch (error) {
    if (!hasCode(error, 'RELEASE_UNKNOWN')) throw error
    throw new DorcError('RELEASE_UNKNOWN', `"${app}" has no release ${number}`, {
      cause: error,
      hint: `See what is kept: dorc releases ${app}`,
    })
  }
}

async function verifySlots(
  releases: ReleaseStore,
  { name, slots }: App,
  number: ReleaseNumber,
): Promise<ReleaseCheck['deviations'][number][]> {
  const found: (Deviation & { readonly where: Slot })[] = []
  for (const slot of SLOTS) {
    const intent = slots[slot]
    if (intent?.release !== number) continue
    const installed = await releases.installed(name, slot)
    // Half a slot is no lie: it is made whole before anything runs in it.
    if (installed?.incarnation !== intent.incarnation) continue
    const deviations = await releases.verifySlot(name, number, intent.definition.workingDir)
    found.push(...deviations.map((deviation) => ({ where: slot, ...deviation })))
  }
  return found
}
