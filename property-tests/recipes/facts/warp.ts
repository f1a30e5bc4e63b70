/** WARP, arXiv 2406.16768. */
import { Recipe, Warp } from "../../../dsl/index.ts"
import { all, facts, of } from "../fact.ts"

export default facts("WARP", Recipe.planned(Warp.warp), {
  "1.13": [
    ["runs of an iteration", 2, ({ policy }) => all(policy, "Grpo").length / all(policy, "Merge").length * 2],
    ["λ of SLERP", [0.5, 0.5], ({ policy }) => Object.values(all(policy, "Merge")[0]!["method"].weights)],
    ["η of LITI", 0.3, ({ policy }) => of(policy)["method"].lambda],
    ["rate of the moving average", 0.01, ({ policy }) => all(policy, "Grpo")[0]!["referencePolicy"].rate],
    ["β", 0.1, ({ policy }) => all(policy, "Grpo")[0]!["beta"]],
    ["rate, batch, temperature", [1e-6, 128, 0.9], ({ policy }) => {
      const { batchSize, learningRate, temperature } = all(policy, "Grpo")[0]!
      return [learningRate, batchSize, temperature]
    }]
  ],
  "7": [
    [
      "steps of the iterations",
      [9000, 7000, 7000, 5000, 5000],
      ({ policy }) => all(policy, "Grpo").filter((_, i) => i % 2 === 0).map(({ steps }) => steps)
    ],
    ["SLERP is per", "layer", ({ policy }) => all(policy, "Merge")[0]!["method"].per]
  ]
})
