/** The version of all of dorc's programs; package.json says the same (a test compares them). */
export const VERSION = '0.4.0'
