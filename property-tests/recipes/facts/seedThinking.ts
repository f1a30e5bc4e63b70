/** Seed-Thinking v1.5, arXiv 2504.13914, and VAPO, arXiv 2504.05118. */
import { Recipe, SeedThinking } from "../../../dsl/index.ts"
import { all, clip, facts, of, result, rows } from "../fact.ts"

export default facts("Seed-Thinking v1.5", Recipe.planned(SeedThinking.seedThinking), {
  "1.12": [
    [
      "parameters, active and all, billions",
      [20, 200],
      ({ sft }) => all(sft, "Checkpoint")[0]!["shape"].name.match(/\d+/gu)!.map(Number)
    ],
    ["rows of SFT: verifiable, other, together", [300_000, 100_000, 400_000], ({ sft }) => {
      const [verifiable, other] = [rows(sft, "verifiable"), rows(sft, "other")]
      return [verifiable, other, verifiable + other]
    }],
    ["length, epochs", [32_000, 2], ({ sft }) => [of(sft)["maxLength"], of(sft)["epochs"]]],
    [
      "cosine from, to",
      ["cosine", 2e-5, 2e-6],
      ({ sft }) => [of(sft)["schedule"], of(sft)["learningRate"], of(sft)["minLearningRate"]]
    ],
    [
      "STEM prompts, puzzles",
      [100_000, 10_000],
      ({ policy }) => [rows(policy, "STEM"), rows(policy, "puzzles of 22 types")]
    ],
    ["types of puzzles", 22, "ready rows: their name says it"],
    ["accuracy of the verifiers", [82.7, 99.3], result],
    ["λ of the value model", 1, ({ policy }) => of(policy)["advantage"].valueLam],
    ["λ of the policy", 0.95, "it grows with the length, 1 − 1/(α l), and .95 is of no effect"],
    ["clip, lower and upper", [0.2, 0.28], ({ policy }) => clip(of(policy))],
    ["loss over tokens", "TokenMean", ({ policy }) => of(policy)["loss"].aggregation._tag],
    ["AIME 2024", 86.7, result]
  ],
  "VAPO, 4 and 5.1": [
    ["α of λ by length", 0.05, ({ policy }) => of(policy)["advantage"].lamByLength],
    ["KL: none", 0, ({ policy }) => of(policy)["beta"]],
    [
      "rates of policy and value model",
      [1e-6, 2e-6],
      ({ policy }) => [of(policy)["learningRate"], of(policy)["valueLearningRate"]]
    ],
    ["steps of the value model alone", 50, ({ policy }) => of(policy)["valueWarmupSteps"]],
    ["answers of a rollout, of a mini-batch", [8192, 512], ({ policy }) => {
      const { batchSize, groupSize, numMiniBatches } = of(policy)
      return [batchSize * groupSize, batchSize * groupSize / numMiniBatches]
    }],
    [
      "prompts of a rollout, answers of each",
      [512, 16],
      ({ policy }) => [of(policy)["batchSize"], of(policy)["groupSize"]]
    ],
    ["μ of the likelihood of right answers", 0.1, ({ policy }) => of(policy)["positiveNll"]]
  ]
})
