/** `npm test` takes a slice of what would take too long, `npm run test:long` the whole. */
export const extent = <T>(slice: T, whole: T): T => (process.env['DORC_TEST_LONG'] === '1' ? whole : slice)
