import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type { Weights } from "../../src/engine/engine.ts"
import { combine, ensembleOf } from "../../src/engine/ensemble.ts"
import type { EnsembleRule } from "../../src/model/weights.ts"
import { withProcess } from "../../src/engine/processReward.ts"
import { scorerWeights } from "../../src/engine/tabular/checkpoint.ts"
import { scoreTable } from "../../src/engine/tabular/exact.ts"
import { rewardOf } from "../../src/engine/tabular/scores.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { treeOf } from "../../src/engine/tabular/tree.ts"
import { world } from "../../src/engine/tabular/world.ts"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import { stream } from "../../src/sampling/random.ts"
import { reference } from "../../src/tensor/reference.ts"
import { everyRow } from "./tabularWorlds.ts"
import { randomBatch, randomWeights, variants } from "./transformer/tinyModels.ts"

const rules: ReadonlyArray<EnsembleRule> = [
  { _tag: "Mean" },
  { _tag: "WorstCase" },
  { _tag: "UncertaintyWeighted", lambda: 0.5 }
]
const rewards = fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 1, maxLength: 5 })

describe("an ensemble's reward", () => {
  it("by hand: of 1, 2 and 6", () => {
    // Mean 3; variance (4 + 1 + 9) / 3.
    const expected = [3, 1, 3 - 0.5 * 14 / 3]
    rules.forEach((rule, i) => assert.closeTo(combine([1, 2, 6], rule), expected[i]!, 1e-15))
  })

  it("of equal members is theirs; order does not matter; it shifts with its members, and what is not finite comes through", () => {
    fc.assert(
      fc.property(rewards, fc.constantFrom(...rules), fc.double({ min: -3, max: 3, noNaN: true }), (all, rule, by) => {
        assert.closeTo(combine(all.map(() => all[0]!), rule), all[0]!, 1e-12)
        assert.closeTo(combine([...all].reverse(), rule), combine(all, rule), 1e-12)
        assert.closeTo(combine(all.map((r) => r + by), rule), combine(all, rule) + by, 1e-9)
        assert.isAtMost(combine(all, { _tag: "WorstCase" }), combine(all, { _tag: "Mean" }) + 1e-12)
        assert.isNaN(combine([...all, NaN], rule))
        assert.isNaN(combine([NaN, ...all], rule))
      })
    )
  })

  it("of both engines' scorers is that of the members' values, which do not change", () => {
    const raw = variants["Llama, GQA, tied"]!
    const batch = randomBatch([[1, 3], [2, 2]], "ensemble")
    const engine = transformer(reference())
    const members = ["a", "b", "c"].map((seed) => randomWeights(raw, seed, "score"))
    const alone = members.map((weights) => engine.scorer(weights).values(batch).values)
    for (const rule of rules) {
      const ensemble = engine.scorer(ensembleOf(members, rule))
      ensemble.values(batch).values.forEach((value, i) => {
        assert.strictEqual(value, combine(alone.map((values) => values[i]!), rule))
      })
      assert.throws(() => ensemble.values(batch, { retain: true }), /open one of its members/)
      assert.throws(() => ensemble.weights(), /open one of its members/)
    }
    const of = world({ prompts: 2, vocab: 3, horizon: 2, seed: "e" })
    const table = (seed: string): Weights =>
      scorerWeights(of, Float64Array.from({ length: 2 * treeOf(of).nodes }, stream(seed).normal))
    const [a, b] = [table("a"), table("b")]
    const worst = rewardOf(of, ensembleOf([a, b], { _tag: "WorstCase" }))
    const [ra, rb] = [scoreTable(of, a), scoreTable(of, b)]
    worst.forEach((row, p) => row.forEach((r, n) => assert.strictEqual(r, Math.min(ra[p]![n]!, rb[p]![n]!))))
  })
})

describe("a new scalar head", () => {
  it("is zero, the same every time; that of a reward model is kept", () => {
    const engine = transformer(reference())
    const batch = randomBatch([[1, 3], [2, 2]], "head")
    const policy = randomWeights(variants["Llama, GQA, tied"]!, "p")
    const [a, b] = [engine.scorer(policy), engine.scorer(policy)]
    assert.isTrue(a.values(batch).values.every((value) => value === 0))
    assert.deepStrictEqual(a.weights().tensors.get("score.weight"), b.weights().tensors.get("score.weight"))
    const kept = randomWeights(variants["Llama, GQA, tied"]!, "s", "score")
    assert.deepStrictEqual(
      [...engine.scorer(kept).weights().tensors.get("score.weight")!.data],
      [...kept.tensors.get("score.weight")!.data]
    )
  })
})

describe("a process reward model as a reward", () => {
  const mark = { separator: [], stop: [2], aggregation: "product", labels: "binary" } as const

  it("has the aggregate after the last token and its own values elsewhere, through an ensemble too", () => {
    const of = world({ prompts: 1, vocab: 3, horizon: 2, seed: "process" })
    const engine = tabular(of)
    const plain = scorerWeights(of, Float64Array.from({ length: treeOf(of).nodes }, stream("process").normal))
    const rows = everyRow(of)
    const raw = engine.scorer(plain).values(rows)
    const marked = withProcess(plain, mark)
    const read = engine.scorer(marked).values(rows)
    const sigmoid = (z: number) => 1 / (1 + Math.exp(-z))
    rows.forEach(({ completion }, i) => {
      const own = raw.values.slice(raw.offsets[i]!, raw.offsets[i + 1]!)
      const seen = read.values.slice(read.offsets[i]!, read.offsets[i + 1]!)
      assert.deepStrictEqual(seen.slice(0, -1), own.slice(0, -1))
      // Every letter is a step; the end of sequence is none, unless there is nothing else.
      const letters = completion.length > 1 && completion.at(-1) === 2 ? completion.length - 1 : completion.length
      const expected = Array.from({ length: letters }, (_, t) => sigmoid(own[t + 1]!)).reduce((all, p) => all * p, 1)
      assert.closeTo(seen.at(-1)!, expected, 1e-15)
    })
    const [alone, ensemble] = [rewardOf(of, marked), rewardOf(of, ensembleOf([marked, marked], { _tag: "Mean" }))]
    assert.deepStrictEqual(ensemble, alone)
    const scorer = engine.scorer(marked)
    const { offsets, values } = scorer.values(rows, { retain: true })
    assert.throws(() => scorer.backward(values.map((_, i) => i === offsets[1]! - 1 ? 1 : 0)), /no gradient/)
    assert.deepStrictEqual(withProcess(marked, null), plain)
  })
})
