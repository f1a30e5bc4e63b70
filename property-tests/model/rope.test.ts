import { assert, describe, it } from "vitest"
import { inverseFrequencies, tables } from "../../src/model/rope.ts"
import type { Rope } from "../../src/model/ropeConfig.ts"

type Unsized<R> = R extends Rope ? Omit<R, "dim"> : never
const sized = (rope: Unsized<Rope>, dim = 8): Rope => ({ ...rope, dim })
const plain = sized({ type: "default", theta: 10000 })
const context = 64

describe("rope", () => {
  it("has the frequencies theta^(-2i/d)", () => {
    const { inverse, scaling } = inverseFrequencies(plain, context, 64)
    assert.strictEqual(scaling, 1)
    ;[1, 0.1, 0.01, 0.001].forEach((f, i) => assert.closeTo(inverse[i]! / f, 1, 1e-7))
  })

  it("tabulates cos and sin by position and pair", () => {
    const { cos, sin } = tables(plain, context, 5)
    assert.strictEqual(cos.length, 5 * 4)
    assert.closeTo(cos[3 * 4 + 1]!, Math.cos(0.3), 1e-7)
    assert.closeTo(sin[4 * 4 + 0]!, Math.sin(4), 1e-7)
    for (let i = 0; i < cos.length; i++) assert.closeTo(cos[i]! ** 2 + sin[i]! ** 2, 1, 1e-12)
    assert.deepEqual(tables(plain, context, 9).cos.subarray(0, 20), cos)
  })

  it("linear scaling stretches positions by the factor", () => {
    const stretched = tables(sized({ type: "linear", theta: 10000, factor: 4 }), context, 33)
    const { cos } = tables(plain, context, 9)
    for (let p = 0; p < 9; p++) {
      for (let i = 0; i < 4; i++) assert.closeTo(stretched.cos[p * 4 * 4 + i]!, cos[p * 4 + i]!, 1e-6)
    }
  })

  it("dynamic scaling changes nothing within the context", () => {
    for (const headDim of [2, 8]) {
      const dynamic = sized({ type: "dynamic", theta: 10000, factor: 2 }, headDim)
      assert.deepEqual(
        inverseFrequencies(dynamic, context, 64).inverse,
        inverseFrequencies({ ...plain, dim: headDim }, context, 64).inverse
      )
    }
    const { inverse } = inverseFrequencies(sized({ type: "dynamic", theta: 10000, factor: 2 }), context, 128)
    const before = inverseFrequencies(plain, context, 128).inverse
    assert.strictEqual(inverse[0], before[0])
    // The slowest pair turns factor · length / context − (factor − 1) = 3 times slower.
    assert.closeTo(before[3]! / inverse[3]!, 3, 1e-6)
  })

  it("llama3 keeps short wavelengths and divides long ones", () => {
    const rope = {
      type: "llama3",
      theta: 10000,
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalContext: 64
    } as const
    const { inverse } = inverseFrequencies(sized(rope), context, 64)
    // Wavelengths 6.3, 63, 628, 6283 against 16 and 64.
    assert.strictEqual(inverse[0], 1)
    assert.isTrue(inverse[1]! < 0.1 && inverse[1]! > 0.1 / 8)
    assert.closeTo(inverse[2]!, 0.01 / 8, 1e-9)
    assert.closeTo(inverse[3]!, 0.001 / 8, 1e-10)
  })

  it("yarn multiplies cos and sin by its attention factor", () => {
    const rope = {
      type: "yarn",
      theta: 10000,
      factor: 4,
      originalContext: 16,
      betaFast: 32,
      betaSlow: 1,
      truncate: true,
      attentionFactor: 1.5
    } as const
    const { cos, sin } = tables(sized(rope), context, 3)
    for (let i = 0; i < cos.length; i++) assert.closeTo(Math.hypot(cos[i]!, sin[i]!), 1.5, 1e-12)
  })
})
