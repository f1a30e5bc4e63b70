import fc from "fast-check"
import { assert } from "vitest"
import type { Host, SampleShape } from "../../../src/tensor/backend.ts"
import { drawInts, input, kernelLaw, output, size } from "../kernelLaw.ts"
import type { Draw, KernelCase } from "../kernelLaw.ts"

interface Shape {
  readonly rows: number
  readonly vocab: number
  readonly temperature: number
  readonly logits: "spread" | "ties" | "masked" | "NaN"
  /** How u is drawn: anywhere, or at the ends of [0, 1), where the first and the last tokens are chosen. */
  readonly u: "any" | "ends"
}

/** Logits ±10, quarters from −1 to 1 so that many are equal, with most tokens ruled out, or with a NaN in each row. */
const drawLogits = (draw: Draw, { logits, rows, vocab }: Shape): Float32Array => {
  const z = draw(rows * vocab, 10)
  if (logits === "ties") return z.map((x) => Math.round(x / 2.5) / 4)
  const place = drawInts(draw, rows, vocab)
  if (logits === "NaN") place.forEach((v, n) => z[n * vocab + v] = NaN)
  if (logits === "masked") {
    return z.map((x, i) => i % 3 === 0 || i % vocab === place[Math.floor(i / vocab)] ? x : -Infinity)
  }
  return z
}

/** u as the backend takes it: a multiple of 2⁻²⁴ and a rest below it. */
const drawUniforms = (draw: Draw, { rows, u }: Shape): Float32Array => {
  const coarse = drawInts(draw, rows, 2 ** 24)
  const fine = drawInts(draw, rows, 2 ** 24)
  return Float32Array.from({ length: 2 * rows }, (_, i) => {
    const n = i >> 1
    if (u === "ends") return n % 2 === 0 ? 0 : i % 2 === 0 ? 1 - 2 ** -24 : 2 ** -24 - 2 ** -48
    return i % 2 === 0 ? coarse[n]! * 2 ** -24 : fine[n]! * 2 ** -48
  })
}

/**
 * Every token is one that u allows: its cumulative probability interval, worked out here in double precision and wider by
 * `tolerance` at both ends, holds u, and it has a probability at all. Greedy choices are the first largest, exactly.
 */
const judgeRow = (
  label: string,
  z: Float32Array,
  u: number,
  temperature: number,
  token: number,
  logp: number,
  tolerance: number
): void => {
  assert.isTrue(Number.isInteger(token) && token >= 0 && token < z.length, `${label}: token ${token} of ${z.length}`)
  if (z.some(Number.isNaN)) return assert.isNaN(logp, label)
  let max = -Infinity
  for (const x of z) max = Math.max(max, x)
  let total = 0
  for (const x of z) total += Math.exp(x - max)
  const expected = z[token]! - max - Math.log(total)
  const allowed = Math.max(tolerance, 1e-12) * Math.max(1, Math.abs(expected))
  assert.isAtMost(Math.abs(logp - expected), allowed, `${label}: logp ${logp} of token ${token}, expected ${expected}`)
  if (temperature === 0) return assert.strictEqual(token, z.indexOf(max), `${label}: first largest`)
  const weights = Float64Array.from(z, (x) => Math.exp((x - max) / temperature))
  const all = weights.reduce((sum, weight) => sum + weight, 0)
  const below = weights.subarray(0, token).reduce((sum, weight) => sum + weight, 0) / all
  const width = weights[token]! / all
  const slack = Math.max(tolerance, 1e-12)
  assert.isAbove(width, 0, `${label}: token ${token} has no probability`)
  assert.isTrue(
    below - slack <= u && u <= below + width + slack,
    `${label}: u = ${u} is not in [${below}, ${below + width}) of token ${token}`
  )
}

const build = (shape: Shape, draw: Draw): KernelCase => {
  const { rows, temperature, vocab } = shape
  const logits = drawLogits(draw, shape)
  const uniforms = drawUniforms(draw, shape)
  const sizes: SampleShape = { rows, vocab, temperature }
  const judge = (results: ReadonlyMap<string, Host>, tolerance: number): void => {
    const tokens = results.get("tokens")!
    const logps = results.get("logps")!
    for (let n = 0; n < rows; n++) {
      const z = logits.subarray(n * vocab, (n + 1) * vocab)
      const u = uniforms[2 * n]! + uniforms[2 * n + 1]!
      judgeRow(`row ${n}`, z, u, temperature, tokens[n]!, logps[n]!, tolerance)
    }
  }
  return {
    reals: { tokens: output(rows), logps: output(rows), logits: input(logits), uniforms: input(uniforms) },
    ints: {},
    judge,
    call: (b, real) =>
      b.sample({ tokens: real("tokens"), logps: real("logps") }, real("logits"), real("uniforms"), sizes)
  }
}

export const sample = [
  kernelLaw("sample", {
    shapes: fc.record({
      rows: size(30),
      vocab: size(600),
      temperature: fc.constantFrom(0, 1, 0.7, 1.5, 0.01, 1e-30),
      logits: fc.constantFrom("spread", "ties", "masked", "NaN"),
      u: fc.constantFrom("any", "ends")
    }),
    sample: { rows: 3, vocab: 7, temperature: 0.7, logits: "spread", u: "any" },
    always: [
      { rows: 3, vocab: 20_011, temperature: 1, logits: "ties", u: "any" },
      { rows: 2, vocab: 151_936, temperature: 0.8, logits: "ties", u: "any" },
      { rows: 2, vocab: 20_011, temperature: 1.5, logits: "masked", u: "ends" },
      { rows: 5, vocab: 20_011, temperature: 0, logits: "ties", u: "any" },
      { rows: 300, vocab: 515, temperature: 1, logits: "spread", u: "any" },
      { rows: 1, vocab: 1, temperature: 1, logits: "spread", u: "any" }
    ],
    runs: 60,
    build
  })
]
