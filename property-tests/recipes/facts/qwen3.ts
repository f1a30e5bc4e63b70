/** Qwen 3, arXiv 2505.09388. */
import { Qwen3, Recipe } from "../../../dsl/index.ts"
import { choice, facts, hardware, of, on, result, rows } from "../fact.ts"

const recipe = Qwen3.qwen3

export default facts("Qwen 3", Recipe.planned(recipe), {
  "1.9": [
    ["query-verifier pairs", 3995, ({ reasons }) => rows(reasons, "prompts with a verifier")],
    ["steps of reasoning RL", 170, ({ reasons }) => of(reasons)["steps"]],
    ["AIME 2024 of reasoning RL, and after stage 4", [70.1, 85.1, 83.8, 81.4], result],
    ["tasks of stage 4", 20, "three kinds of prompts stand for the tasks"],
    [
      "kinds of reward",
      3,
      ({ flagship }) => Object.keys(on(flagship, "reward").node.wires).length
    ],
    [
      "rate, β, clip are not reported",
      ["open", "open", "open"],
      () => ["learningRate", "beta", "clip"].map((name) => choice(recipe, name))
    ],
    ["numbers that are not reported", 21, () => Object.keys(recipe.open).length],
    ["GPU hours of 8B: distillation, RL", [1800, 17_920], hardware],
    ["AIME 2024 of 8B: off policy, on policy, RL", [55, 74.4, 67.6], result]
  ],
  "6": [["3: rate, β, clip are not reported", "open", () => choice(recipe, "beta")]]
})
