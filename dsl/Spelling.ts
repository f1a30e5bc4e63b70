/** The name that a misspelt one stands for. */

/**
 * Edit distance of two words: the fewest letters to insert, delete, replace, or swap with their neighbour (optimal string alignment;
 * Damerau, CACM 7(3), 1964).
 */
export const distance = (a: string, b: string): number => {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      row[j] = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + same)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j]!, rows[i - 2]![j - 2]! + 1)
      }
    }
    rows.push(row)
  }
  return rows[a.length]![b.length]!
}

/** Longer words are not names. */
const longest = 64

/** The nearest of `names` if no more than a third of its letters are wrong; case does not count. */
export const nearest = (word: string, names: ReadonlyArray<string>): string | undefined => {
  if (word.length > longest) return undefined
  const [best] = names
    .map((name) => ({ name, errors: distance(word.toLowerCase(), name.toLowerCase()) }))
    .filter(({ errors, name }) => errors <= Math.max(name.length, word.length) / 3)
    .sort((a, b) => a.errors - b.errors)
  return best?.name
}

/** `: NAME was meant?`, or nothing if no name is near. */
export const meant = (word: string, names: ReadonlyArray<string>): string => {
  const name = nearest(word, names)
  return name === undefined ? "" : `: ${name} was meant?`
}
