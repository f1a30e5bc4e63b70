/** Which models are of one kind, so that a merge of them means something. */
import { assert, describe, it } from "vitest"
import type { Weights } from "../../src/engine/engine.ts"
import { mismatches } from "../../src/merging/mismatch.ts"

const model = (
  tensors: Readonly<Record<string, ReadonlyArray<number>>>,
  config: Weights["config"] = {},
  tokenizer = "{}"
): Weights => ({
  tensors: new Map(
    Object.entries(tensors).map((
      [name, shape]
    ) => [name, { shape, data: new Float32Array(shape.reduce((n, size) => n * size, 1)) }])
  ),
  config,
  tokenizer: new Map([["tokenizer.json", tokenizer]])
})
const whats = (a: Weights, b: Weights) => mismatches(a, b).map(({ what }) => what)

describe("mismatches", () => {
  it("a model is of its own kind, whatever its weights' origin says", () => {
    const of = model({ x: [2, 3] }, { hidden_size: 3, _name_or_path: "a", dtype: "float32" })
    assert.deepStrictEqual(mismatches(of, of), [])
    assert.deepStrictEqual(whats(of, model({ x: [2, 3] }, { hidden_size: 3, _name_or_path: "b", use_cache: true })), [])
  })

  it("tells each tensor that one lacks or that has another shape, even of as many axes or elements", () => {
    const a = model({ x: [2, 3], same: [4], mine: [1] })
    const b = model({ x: [3, 2], same: [4], yours: [1] })
    assert.deepStrictEqual(mismatches(a, b), [
      { what: "x", problem: "its shape is [2,3] and [3,2]" },
      { what: "mine", problem: "only the first has it" },
      { what: "yours", problem: "only the second has it" }
    ])
    assert.deepStrictEqual(whats(b, a).sort(), whats(a, b).sort())
  })

  it("tells each field of config.json that differs or that one lacks, and the tokenizer", () => {
    const a = model({}, { hidden_size: 3, mine: null })
    const b = model({}, { hidden_size: 4, yours: [1] }, "{ }")
    assert.deepStrictEqual(mismatches(a, b), [
      { what: "config.json hidden_size", problem: "it is 3 and 4" },
      { what: "config.json mine", problem: "it is null and absent" },
      { what: "config.json yours", problem: "it is absent and [1]" },
      { what: "tokenizer.json", problem: "they differ" }
    ])
  })
})
