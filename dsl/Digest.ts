/**
 * SHA-256 (FIPS 180-4) of UTF-8 text, synchronous and pure.
 *
 * A node's id is needed while a description is being built, in any JavaScript runtime; `effect/crypto` and WebCrypto are
 * asynchronous and `node:crypto` is not `effect`, so these forty lines stand here.
 */
const primes = /* @__PURE__ */ Array.from({ length: 310 }, (_, i) => i + 2).filter((n, _, numbers) =>
  numbers.every((d) => d * d > n || n % d !== 0)
)

/** The first 32 bits of the fractional parts of roots of the first `count` primes. */
const fractions = (count: number, root: (n: number) => number): Uint32Array =>
  Uint32Array.from(primes.slice(0, count), (n) => (root(n) % 1) * 2 ** 32)

const K = /* @__PURE__ */ fractions(64, Math.cbrt)
const INITIAL = /* @__PURE__ */ fractions(8, Math.sqrt)

const rotate = (x: number, n: number): number => (x >>> n) | (x << (32 - n))

/** Lower-case hexadecimal SHA-256 of `text` encoded as UTF-8. */
export const sha256 = (text: string): string => {
  const bytes = new TextEncoder().encode(text)
  const padded = new Uint8Array(((bytes.length + 8) >> 6) * 64 + 64)
  padded.set(bytes)
  padded[bytes.length] = 0x80
  const view = new DataView(padded.buffer)
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29))
  view.setUint32(padded.length - 4, bytes.length << 3)
  const h = INITIAL.slice()
  const w = new Uint32Array(64)
  for (let block = 0; block < padded.length; block += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getUint32(block + 4 * i)
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15]!, y = w[i - 2]!
      const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3)
      const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10)
      w[i] = w[i - 16]! + s0 + w[i - 7]! + s1
    }
    let [a, b, c, d, e, f, g, k] = h as unknown as [number, number, number, number, number, number, number, number]
    for (let i = 0; i < 64; i++) {
      const t1 = k + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + K[i]! + w[i]!
      const t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))
      k = g
      g = f
      f = e
      e = (d + t1) | 0
      d = c
      c = b
      b = a
      a = (t1 + t2) | 0
    }
    const added = [a, b, c, d, e, f, g, k]
    for (let i = 0; i < 8; i++) h[i] = h[i]! + added[i]!
  }
  return Array.from(h, (x) => x.toString(16).padStart(8, "0")).join("")
}
