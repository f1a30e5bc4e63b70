/** Pseudo-random numbers of one stream. Not for secrets. */
export interface Random {
  /** Uniform in [0, 1), a multiple of 2⁻⁵³. */
  readonly next: () => number
  /** Standard normal (Box and Muller 1958). */
  readonly normal: () => number
  /** Uniform whole number in [0, n), without modulo bias; 1 ≤ n ≤ 2⁵³. */
  readonly int: (n: number) => number
  /** A new array in uniformly random order (Fisher–Yates). */
  readonly shuffle: <T>(xs: ReadonlyArray<T>) => Array<T>
  /** The numbers 0 … n − 1 in uniformly random order, as `shuffle` has them; n < 2³². */
  readonly order: (n: number) => Uint32Array
}

/**
 * The stream of a key: the same key gives the same numbers on every machine, different keys give unrelated ones. A seed is
 * thus a value such as `"node/step/prompt/sample"`, never the order of calls.
 *
 * The key's UTF-16 code units are hashed to 128 bits (cyrb128: four multiplicative hashes, mixed at the end), which are
 * the state of xoshiro128** (Blackman and Vigna 2018; period 2¹²⁸ − 1).
 */
export const stream = (key: string): Random => {
  const bits = xoshiro(hash128(key))
  const next = (): number => {
    const high = bits() >>> 5
    const low = bits() >>> 6
    return (high * 0x4000000 + low) / 0x20000000000000
  }
  let spare: number | null = null
  const normal = (): number => {
    if (spare !== null) {
      const value = spare
      spare = null
      return value
    }
    // 1 − next() is in (0, 1], so that the logarithm is finite.
    const radius = Math.sqrt(-2 * Math.log(1 - next()))
    const angle = 2 * Math.PI * next()
    spare = radius * Math.sin(angle)
    return radius * Math.cos(angle)
  }
  const int = (n: number): number => {
    if (!(Number.isInteger(n) && n >= 1 && n <= 2 ** 53)) {
      throw new RangeError(`int(${n}): n must be a whole number in [1, 2⁵³]`)
    }
    // 53-bit integers at or above the largest multiple of n, which is among the last n of them, are drawn again.
    for (;;) {
      const value = next() * 2 ** 53
      if (value < 2 ** 53 - n || value < 2 ** 53 - (2 ** 53 % n)) return value % n
    }
  }
  const shuffled = <T, A extends { [i: number]: T; readonly length: number }>(order: A): A => {
    for (let i = order.length - 1; i > 0; i--) {
      const j = int(i + 1)
      const held = order[i]!
      order[i] = order[j]!
      order[j] = held
    }
    return order
  }
  return {
    next,
    normal,
    int,
    shuffle: <T>(xs: ReadonlyArray<T>): Array<T> => shuffled<T, Array<T>>([...xs]),
    order: (n) => {
      const order = new Uint32Array(n)
      for (let i = 0; i < n; i++) order[i] = i
      return shuffled<number, Uint32Array>(order)
    }
  }
}

/** 128 bits in four times 32. */
type State = readonly [number, number, number, number]

/** cyrb128 (public domain), a 128-bit non-cryptographic hash of the UTF-16 code units. */
const hash128 = (key: string): State => {
  let h1 = 1779033703, h2 = 3144134277, h3 = 1013904242, h4 = 2773480762
  for (let i = 0; i < key.length; i++) {
    const k = key.charCodeAt(i)
    h1 = h2 ^ Math.imul(h1 ^ k, 597399067)
    h2 = h3 ^ Math.imul(h2 ^ k, 2869860233)
    h3 = h4 ^ Math.imul(h3 ^ k, 951274213)
    h4 = h1 ^ Math.imul(h4 ^ k, 2716044179)
  }
  h1 = Math.imul(h3 ^ (h1 >>> 18), 597399067)
  h2 = Math.imul(h4 ^ (h2 >>> 22), 2869860233)
  h3 = Math.imul(h1 ^ (h3 >>> 17), 951274213)
  h4 = Math.imul(h2 ^ (h4 >>> 19), 2716044179)
  return [h1 ^ h2 ^ h3 ^ h4, h2 ^ h1, h3 ^ h1, h4 ^ h1]
}

/** xoshiro128**: 32 bits a call. The first outputs are dropped: they still show the structure of the seed. */
const xoshiro = (state: State): () => number => {
  let [a, b, c, d] = state
  // The all-zero state is a fixed point.
  if ((a | b | c | d) === 0) d = 1
  const rotl = (x: number, k: number): number => (x << k) | (x >>> (32 - k))
  const bits = (): number => {
    const result = Math.imul(rotl(Math.imul(b, 5), 7), 9)
    const t = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = rotl(d, 11)
    return result >>> 0
  }
  for (let i = 0; i < 16; i++) bits()
  return bits
}
