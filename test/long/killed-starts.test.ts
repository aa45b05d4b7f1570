import { testKilledStarts } from '../kernel/killed-starts.ts'

testKilledStarts(1)
