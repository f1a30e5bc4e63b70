/** How `npm run test:recipes` judges recipes, and a share of it: the orderings of some by enumeration. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Artifact, Checkpoint, Merge, MergeMethod, recipes, Render, Sft, Source } from "../../dsl/index.ts"
import { improvement, optimised } from "./improvement.ts"
import { ordered, orderings } from "./orderings.ts"
import { reasons } from "./reasons.ts"

describe("improvement", () => {
  const steps = (values: ReadonlyArray<number>, metric: string) => values.map((value) => ({ [metric]: value }))
  const verdict = (stage: string, metric: string, ...seeds: ReadonlyArray<ReadonlyArray<number>>) =>
    improvement(seeds.map((values) => optimised(stage, steps(values, metric))!)).verdict

  it("is of the metric that the stage optimises, up or down", () => {
    const rising = [0, 0.1, 0, 0.1, 1, 1.1, 1, 1.1]
    assert.strictEqual(verdict("grpo", "objective/scores", rising), "better")
    assert.strictEqual(verdict("sft", "loss", rising), "worse")
    assert.strictEqual(verdict("sft", "loss", rising.toReversed()), "better")
    assert.isUndefined(optimised("mix", steps(rising, "loss")))
    assert.isUndefined(optimised("sft", steps([1, 0], "loss")))
  })

  it("is noise within two standard errors, over steps and over seeds", () => {
    assert.strictEqual(verdict("grpo", "objective/scores", [0, 1, 0, 1, 0, 1, 0.1, 1.1]), "within noise")
    const gain = (by: number) => [0, 0.01, 0, 0, 0, 0, by, by + 0.01]
    assert.strictEqual(verdict("grpo", "objective/scores", gain(1)), "better")
    assert.strictEqual(verdict("grpo", "objective/scores", gain(1), gain(-0.9), gain(0.2)), "within noise")
  })
})

describe("orderings", () => {
  it("has reasons for recipes alone", () => {
    assert.isEmpty(Object.keys(reasons).filter((name) => recipes.every((one) => one.name !== name)))
  })

  it("tell a fall from a gain, and a merge outside of its parents", () => {
    const base = Checkpoint.huggingFace("tales", "base")
    const [a, b] = [0, 1].map((seed) =>
      Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 9 })) }, {
        batchSize: 1,
        learningRate: 1,
        seed
      })
    ) as [Artifact.Of<"Policy", "tales">, Artifact.Of<"Policy", "tales">]
    const merged = Merge.make({}, { a, b }, { method: MergeMethod.uniformSoup })
    const holds = (...gold: ReadonlyArray<number>) =>
      orderings(merged, {
        policies: [base, a, b, merged].map((of, i) => ({
          stage: Render.label(of),
          gold: gold[i]!,
          kl: [],
          beta: null,
          attainable: null,
          optimum: null,
          noOptimum: []
        }))
      }).map((one) => one.holds)
    assert.deepEqual(holds(0, 1, 2, 1.5), [true, true, true])
    assert.deepEqual(holds(1, 0, 2, 2.5), [false, true, false])
  })

  it.effect.each(["olmo-2-1b", "smollm3", "deepseek-r1"])(
    "hold in %s, or have a reason",
    (name) =>
      Effect.gen(function*() {
        const found = yield* ordered(name)
        assert.isNotEmpty(found)
        assert.deepEqual(found.filter(({ holds, op }) => !holds && reasons[name]?.[op]?.ordering === undefined), [])
      }),
    60_000
  )
})
