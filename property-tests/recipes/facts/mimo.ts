/** MiMo-7B, arXiv 2505.07608. */
import { MiMo, Recipe } from "../../../dsl/index.ts"
import { all, choice, facts, of, on, result, rows } from "../fact.ts"

const recipe = MiMo.mimo

export default facts("MiMo-7B", Recipe.planned(recipe), {
  "1.10": [
    ["rows of SFT", 500_000, ({ sft }) => rows(sft, "SFT data")],
    ["rows of SFT, later", 6_000_000, "of a later model (0530)"],
    ["prompts of RL: mathematics, code, together", [100_000, 30_000, 130_000], ({ policy }) => {
      const [math, code] = [rows(policy, "mathematics"), rows(policy, "code")]
      return [math, code, math + code]
    }],
    ["KL: none", 0, ({ policy }) => of(policy)["beta"]],
    ["share of solved prompts", 0.1, ({ zero }) => of(zero)["solvedAgain"]],
    ["batch, mini-batch, updates", [512, 32, 16], ({ policy }) => {
      const { batchSize, numMiniBatches } = of(policy)
      return [batchSize, batchSize / numMiniBatches, numMiniBatches]
    }],
    ["rate", 1e-6, ({ zero }) => of(zero)["learningRate"]],
    ["length, with 1,024 of the prompt", 32_768, ({ policy }) => of(policy)["maxNewTokens"] + 1024],
    ["temperature", 1, ({ policy }) => of(policy)["temperature"]],
    ["top-p", 1, "rollouts are of the policy itself, always"],
    [
      "ε and G are not reported",
      ["open", "open", "open"],
      () => ["low", "high", "groupSize"].map((name) => choice(recipe, name))
    ],
    ["evaluation: temperature, top-p", [0.6, 0.95], "an evaluation"],
    ["AIME 2024: base, SFT, RL-Zero, RL", [32.9, 58.7, 56.4, 68.2], result],
    [
      "RL-Zero is from the base",
      "Checkpoint",
      ({ zero }) => on(zero, "init").node.op
    ],
    ["answers of a problem, and the rate above which it is too easy", [16, 0.9], ({ policy }) => [
      all(policy, "Sample")[0]!["completionsPerPrompt"],
      all(policy, "Difficulty")[0]!["atMost"]
    ]]
  ],
  "6": [["3: G and ε are not reported", "open", () => choice(recipe, "groupSize")]]
})
