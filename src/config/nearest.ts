/** The candidate that a typing mistake most probably meant; null if none is near. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  let best: { candidate: string; distance: number } | null = null
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase().replaceAll('-', '_'), candidate)
    if (distance <= tolerance(candidate) && (best === null || distance < best.distance))
      best = { candidate, distance }
  }
  return best?.candidate ?? null
}

/** Two mistakes in most words, more in long ones, one in those of three letters. */
const tolerance = ({ length }: string): number => Math.min(length / 2, Math.max(2, length / 3))

/** Levenshtein's: the least number of characters to insert, delete or replace. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
