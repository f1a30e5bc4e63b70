/**
 * Sets that are probably alike, without comparing all with all: MinHash (Broder 1997) with bands (Leskovec, Rajaraman and Ullman, Mining of
 * Massive Datasets, section 3.4). Two sets of Jaccard similarity s agree in one hash with probability s, and in all r hashes of one of b bands
 * with 1 − (1 − s^r)^b. A candidate is then compared exactly, so nothing that is not alike is found; a pair that is alike is missed with a
 * probability of at most 10⁻³.
 */
import { type NumbersByHash, numbersByHash } from "./numbersByHash.ts"

/** FNV-1a of a text's UTF-16 units. */
export const hashed = (text: string): number => {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** The finaliser of MurmurHash3: one of 2³² permutations of 32 bits, by `seed`. */
const permuted = (hash: number, seed: number): number => {
  let x = hash ^ Math.imul(seed + 1, 0x9e3779b9)
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return (x ^ (x >>> 16)) >>> 0
}

const missed = 1e-3

/** Hashes in a band, and bands: the fewest bands of the longest that miss a pair of this similarity rarely enough. */
export const bandsFor = (similarity: number): { readonly size: number; readonly count: number } => {
  // A pair of equal sets is never missed.
  const s = Math.min(similarity, 0.99)
  for (let size = 8;; size--) {
    const count = Math.max(1, Math.ceil(Math.log(missed) / Math.log1p(-(s ** size))))
    if (count * size <= 256 || size === 1) return { size, count }
  }
}

/**
 * A finder of an earlier set, by its number, that is `alike`; a set for which there is none is remembered under its own number. Sets are not
 * kept: a set takes 10 to 20 bytes a band.
 */
export const likely = (similarity: number) => {
  const { count, size } = bandsFor(similarity)
  const bands = Array.from({ length: count }, (): NumbersByHash => numbersByHash())
  return (set: ReadonlySet<string>, number: number, alike: (earlier: number) => boolean): number | undefined => {
    const least = new Uint32Array(count * size).fill(0xffffffff)
    for (const one of set) {
      const hash = hashed(one)
      for (let i = 0; i < least.length; i++) least[i] = Math.min(least[i]!, permuted(hash, i))
    }
    const keys = bands.map((_, band) =>
      least.subarray(band * size, (band + 1) * size).reduce((key, hash) => permuted(key ^ hash, 0), 0)
    )
    const tried = new Set<number>()
    for (const [i, band] of bands.entries()) {
      const found = band.find(keys[i]!, (earlier) => tried.size < tried.add(earlier).size && alike(earlier))
      if (found !== undefined) return found
    }
    for (const [i, band] of bands.entries()) band.put(keys[i]!, number)
    return undefined
  }
}
