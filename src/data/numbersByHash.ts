/** Numbers by a hash of 32 bits, several to a hash, in 10 to 20 bytes each: open addressing, whatever the hash is of. */
export interface NumbersByHash {
  readonly put: (hash: number, number: number) => void
  /** The first number of this hash that `is` it. */
  readonly find: (hash: number, is: (number: number) => boolean) => number | undefined
}

/** The share of slots that may be taken. */
const load = 0.8

export const numbersByHash = (): NumbersByHash => {
  /** Numbers from 1; 0 is a free slot. */
  let [hashes, numbers] = [new Uint32Array(64), new Uint32Array(64)]
  let count = 0
  const place = (hash: number, number: number): void => {
    const mask = numbers.length - 1
    let slot = hash & mask
    while (numbers[slot]! > 0) slot = (slot + 1) & mask
    hashes[slot] = hash
    numbers[slot] = number
  }
  return {
    put: (hash, number) => {
      if (++count > load * numbers.length) {
        const [oldHashes, oldNumbers] = [hashes, numbers]
        hashes = new Uint32Array(2 * oldHashes.length)
        numbers = new Uint32Array(2 * oldNumbers.length)
        for (let i = 0; i < oldNumbers.length; i++) if (oldNumbers[i]! > 0) place(oldHashes[i]!, oldNumbers[i]!)
      }
      place(hash, number + 1)
    },
    find: (hash, is) => {
      const mask = numbers.length - 1
      for (let slot = hash & mask; numbers[slot]! > 0; slot = (slot + 1) & mask) {
        if (hashes[slot] === hash && is(numbers[slot]! - 1)) return numbers[slot]! - 1
      }
      return undefined
    }
  }
}
