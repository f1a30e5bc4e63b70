/** SmolLM3. */
import { Recipe, SmolLm3 } from "../../../dsl/index.ts"
import { all, ends, facts, of, rows } from "../fact.ts"

const names = ["Tülu 3 pairs, without thinking", "Qwen3-32B over Qwen3-0.6B, with thinking"]

export default facts("SmolLM3", Recipe.planned(SmolLm3.smolLm3), {
  "1.7": [
    [
      "weights of the soup and of mid-training",
      [0.9, 0.1],
      ({ policy }) => [of(policy)["method"].weights.soup, of(policy)["method"].weights.mid]
    ],
    ["a soup of APO checkpoints", "Soup", ({ soup }) => of(soup)["keep"]._tag],
    ["writers of chosen and rejected answers, billions", [32, 0.6], "ready rows: their name says it"],
    ["context of RULER, thousands", 128, "an evaluation"]
  ],
  "alignment-handbook, recipes/smollm3": [
    [
      "mid-training and SFT: rate, batch, share of warm-up, gradients",
      [1, 2].flatMap(() => [2e-5, 128, 0.03, 0.2]),
      ({ mid, sft }) =>
        [mid, sft].map(of).flatMap((
          { batchSize, learningRate, maxGradNorm, warmupRatio }
        ) => [learningRate, batchSize, warmupRatio, maxGradNorm])
    ],
    [
      "their schedule and its end",
      ["cosine", 0.1, "cosine", 0.1],
      ({ mid, sft }) => [mid, sft].map(of).flatMap((stage) => [stage["schedule"], ends(stage)])
    ],
    ["their lengths", [32_768, 65_536], ({ mid, sft }) => [of(mid)["maxLength"], of(sft)["maxLength"]]],
    ["their epochs in the blog", [4, 4], ({ mid, sft }) => [of(mid)["epochs"], of(sft)["epochs"]]],
    ["their epochs in the commands", [5, 5], "the blog's stand"],
    ["APO: length, batch, epochs, share of warm-up, gradients", [24_576, 32, 1, 0.1, 0.2], ({ soup }) => {
      const { batchSize, epochs, maxGradNorm, maxLength, warmupRatio } = of(soup)
      return [maxLength, batchSize, epochs, warmupRatio, maxGradNorm]
    }],
    [
      "APO: pairs of the data card, without and with thinking",
      [230_501, 216_385],
      ({ soup }) => names.map((name) => rows(soup, name))
    ],
    ["APO: shares of the pairs", [0.5, 0.25], ({ soup }) => {
      const { noThink, think } = all(soup, "Mix")[0]!["take"].counts
      return [noThink, think].map((pairs, i) => Math.round(1e4 * pairs / rows(soup, names[i]!)) / 1e4)
    }]
  ],
  "7": [["APO: β, rate", [0.05, 1e-6], ({ soup }) => [of(soup)["loss"].beta, of(soup)["learningRate"]]]]
})
