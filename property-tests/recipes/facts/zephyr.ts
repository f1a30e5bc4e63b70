/** Zephyr-7B-β, arXiv 2310.16944. */
import { Recipe, Zephyr } from "../../../dsl/index.ts"
import { ends, facts, of, on } from "../fact.ts"

export default facts("Zephyr", Recipe.planned(Zephyr.zephyr), {
  "1.13": [
    ["β", 0.1, ({ policy }) => of(policy)["loss"].beta],
    [
      "rate, schedule, its end",
      [5e-7, "linear", 0],
      ({ policy }) => [of(policy)["learningRate"], of(policy)["schedule"], ends(of(policy))]
    ],
    ["share of warm-up", 0.1, ({ policy }) => of(policy)["warmupRatio"]],
    ["batch, epochs", [32, 3], ({ policy }) => [of(policy)["batchSize"], of(policy)["epochs"]]],
    ["answers, of which one is rejected at random", 3, () => Zephyr.answers - 1],
    ["the rejected", "random-lower", ({ policy }) => of(on(policy, "preferences"))["rejected"]]
  ],
  "7": [["β in the handbook of today", 0.01, "the paper's stands"]]
})
