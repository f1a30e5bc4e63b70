import fc from "fast-check"
import { assert, describe, it } from "vitest"
import {
  afterLast,
  afterLastBackward,
  afterTokens,
  afterTokensBackward,
  beforeTokens,
  beforeTokensBackward,
  sumRows
} from "../../src/losses/ragged.ts"
import { f64, i32, numbers, rowOffsets, total } from "./gradients.ts"

const inner = (a: Float64Array, b: Float64Array): number => total(a.map((x, i) => x * b[i]!))

describe("ragged rows", () => {
  it("by hand", () => {
    // Two rows of 2 and 1 tokens; positions 1 2 3 | 4 5.
    const [offsets, positions] = [i32(0, 2, 3), f64(1, 2, 3, 4, 5)]
    assert.deepStrictEqual(beforeTokens(positions, offsets), f64(1, 2, 4))
    assert.deepStrictEqual(afterTokens(positions, offsets), f64(2, 3, 5))
    assert.deepStrictEqual(afterTokensBackward(f64(2, 3, 5), offsets), f64(0, 2, 3, 0, 5))
    assert.deepStrictEqual(afterLast(positions, offsets), f64(3, 5))
    assert.deepStrictEqual(sumRows(f64(1, 2, 4), offsets), f64(3, 4))
    assert.deepStrictEqual(beforeTokensBackward(f64(1, 2, 4), offsets), f64(1, 2, 0, 4, 0))
    assert.deepStrictEqual(afterLastBackward(f64(3, 5), offsets), f64(0, 0, 3, 0, 5))
  })

  it("backward is the transpose: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩", () => {
    const cases = rowOffsets.chain((offsets) => {
      const [tokens, rows] = [offsets[offsets.length - 1]!, offsets.length - 1]
      return fc.record({
        offsets: fc.constant(offsets),
        positions: numbers(-2, 2, tokens + rows),
        tokens: numbers(-2, 2, tokens),
        rows: numbers(-2, 2, rows)
      })
    })
    fc.assert(fc.property(cases, ({ offsets, positions, rows, tokens }) => {
      const before = inner(positions, beforeTokensBackward(tokens, offsets))
      assert.closeTo(inner(beforeTokens(positions, offsets), tokens), before, 1e-12)
      const after = inner(positions, afterLastBackward(rows, offsets))
      assert.closeTo(inner(afterLast(positions, offsets), rows), after, 1e-12)
      const behind = inner(positions, afterTokensBackward(tokens, offsets))
      assert.closeTo(inner(afterTokens(positions, offsets), tokens), behind, 1e-12)
    }))
  })
})
