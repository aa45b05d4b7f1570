import { testKilledStarts } from './killed-starts.ts'

/** A slice; all of it is in the long tier. */
testKilledStarts(6)
