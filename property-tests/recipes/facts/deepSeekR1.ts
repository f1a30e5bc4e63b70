/** DeepSeek-R1, arXiv 2501.12948v2. */
import { DeepSeekR1, Recipe } from "../../../dsl/index.ts"
import { all, choice, clip, ends, facts, hardware, of, result, rows } from "../fact.ts"

const recipe = DeepSeekR1.deepSeekR1
const { updates } = DeepSeekR1

export default facts("DeepSeek-R1", Recipe.planned(recipe), {
  "1.8, R1-Zero": [
    ["updates between replacements of the reference", 400, ({ zero }) => of(zero)["referencePolicy"].steps * updates],
    [
      "weights of accuracy and format",
      [1, 1],
      ({ zero }) =>
        ["Mathematics", "Format"].map((tag) =>
          all(zero, "Reward").find(({ rule }) => rule.verifier?._tag === tag)!["rule"].verifier.weight
        )
    ],
    ["rate", 3e-6, ({ zero }) => of(zero)["learningRate"]],
    ["KL, in the loss", [0.001, "KlInLoss"], ({ zero }) => [of(zero)["beta"], of(zero)["loss"].kl._tag]],
    ["temperature", 1, ({ zero }) => of(zero)["temperature"]],
    ["answers of a prompt", 16, ({ zero }) => of(zero)["groupSize"]],
    ["prompts and answers of an update", [32, 512], ({ zero }) => {
      const { batchSize, groupSize, numMiniBatches } = of(zero)
      return [batchSize / numMiniBatches, batchSize * groupSize / numMiniBatches]
    }],
    ["answers of a rollout, mini-batches, passes", [8192, 16, 1], ({ zero }) => {
      const { batchSize, groupSize, numIterations, numMiniBatches } = of(zero)
      return [batchSize * groupSize, numMiniBatches, numIterations]
    }],
    ["lengths", [32_768, 65_536], ({ zero }) => Object.values<any>(of(zero)["fromStep"]).map((at) => at.maxNewTokens)],
    [
      "rollouts before the second length: 8,200 updates, whole",
      Math.floor(8200 / 16),
      ({ zero }) => Number(Object.keys(of(zero)["fromStep"])[1])
    ],
    ["updates", 10_400, ({ zero }) => of(zero)["steps"] * updates],
    [
      "epochs",
      1.6,
      "32 prompts of each of 10,400 updates are 3.8 passes over the 88,000 prompts of Table 4: both stand in the paper"
    ],
    ["AIME 2024", [15.6, 77.9], result],
    ["clip is not reported", "open", () => choice(recipe, "clipOfZero")]
  ],
  "1.8, R1": [
    [
      "as R1-Zero: rate, KL, answers, passes, updates between replacements",
      [1, 2, 3].flatMap(() => [3e-6, 0.001, 16, 1, 400]),
      (
        { dev2, r1, zero }
      ) =>
        [zero, dev2, r1].map(of).flatMap((
          { beta, groupSize, learningRate, numIterations, referencePolicy }
        ) => [learningRate, beta, groupSize, numIterations, referencePolicy.steps * updates])
    ],
    ["cold start: the book's rows", 100_000, "an order of magnitude (part 6, 2); the paper says thousands"],
    ["clip of the first RL stage", [10, 10], ({ dev2 }) => clip(of(dev2))],
    ["first RL stage: reset, in updates", 400, ({ dev2 }) => of(dev2)["referencePolicy"].steps * updates],
    ["rows that Dev3 learns", 804_745, ({ dev3 }) => {
      const { general, reasoning } = all(dev3, "Mix").find(({ take }) => take._tag === "Counts")!["take"].counts
      return general + reasoning
    }],
    [
      "reasoning, about",
      600_000,
      ({ dev3 }) =>
        100_000 *
        Math.round(all(dev3, "Mix").find(({ take }) => take._tag === "Counts")!["take"].counts.reasoning / 100_000)
    ],
    ["general: exactly, and about", [177_812, 200_000], ({ dev3 }) => {
      const general = rows(dev3, "general answers, in part of V3's SFT data")
      return [general, 100_000 * Math.round(general / 100_000)]
    }],
    [
      "mathematics, code, STEM and logic",
      [395_285 + 211_129 + 10_124 + 10_395],
      ({ dev3 }) => [all(dev3, "Mix").find(({ take }) => take._tag === "Counts")!["take"].counts.reasoning]
    ],
    ["mean tokens of a row", 5355, "answers are sampled: their length follows from the policy"],
    ["SFT: epochs, from and to", [2, 3], () => recipe.open.epochs.hint === "two to three" ? [2, 3] : []],
    ["SFT: rate, its end", [5e-5, 5e-6], ({ dev3 }) => [of(dev3)["learningRate"], of(dev3)["minLearningRate"]]],
    ["SFT: schedule, share at its end", ["cosine", 0.1], ({ dev1 }) => [of(dev1)["schedule"], ends(of(dev1))]],
    ["SFT: length, batch", [32_768, 128], ({ dev3 }) => [of(dev3)["maxLength"], of(dev3)["batchSize"]]],
    ["last stage: temperature", 0.7, ({ r1 }) => of(r1)["temperature"]],
    ["last stage: rollouts, 1,700 updates, whole", Math.floor(1700 / 16), ({ r1 }) => of(r1)["steps"]],
    ["last stage: updates with preferences", 400, ({ r1 }) => {
      const [{ rule }] = all(r1, "Reward").filter(({ rule }) => rule._tag === "From") as [any]
      return (of(r1)["steps"] - rule.step) * updates
    }]
  ],
  "1.8, reward models": [
    ["helpful: pairs, batch, rate", [66_000, 256, 6e-6], ({ helpful }) => [
      rows(helpful, "helpful pairs"),
      of(helpful)["batchSize"],
      of(helpful)["learningRate"]
    ]],
    ["helpful: epochs, length", [1, 8192], ({ helpful }) => [of(helpful)["epochs"], of(helpful)["maxLength"]]],
    [
      "safety: rows, loss",
      [106_000, "Outcome"],
      ({ safe }) => [rows(safe, "safe and unsafe answers"), of(safe)["loss"]._tag]
    ],
    ["H800 hours, dollars", [147_000, 294_000], hardware]
  ],
  "1.8, students": [
    ["rates of 1.5B, 7B, 14B, 32B, 8B and 70B", [1e-4, 8e-5, 7e-5, 6e-5, 5e-5, 2e-5], ({ llama, qwen }) => {
      const { llama: l, qwen: q } = DeepSeekR1.students
      return [
        q["1.5b"].learningRate,
        of(qwen)["learningRate"],
        q["14b"].learningRate,
        q["32b"].learningRate,
        of(llama)["learningRate"],
        l["70b"].learningRate
      ]
    }],
    ["rows, about", 800_000, ({ qwen }) => {
      const { general, reasoning } = all(qwen, "Mix").find(({ take }) => take._tag === "Counts")!["take"].counts
      return 100_000 * Math.round((general + reasoning) / 100_000)
    }],
    ["epochs, from and to", [2, 3], () => recipe.open.epochs.hint === "two to three" ? [2, 3] : []]
  ],
  "App. B.3.1, Table 4": [
    [
      "prompts: mathematics, STEM, general",
      [26_000, 22_000, 66_000],
      ({ r1 }) => ["mathematics", "multiple choice of the sciences", "helpfulness"].map((name) => rows(r1, name))
    ]
  ],
  "6": [["3: the clip of R1-Zero is not reported", "open", () => choice(recipe, "clipOfZero")]],
  "7": [["H800 hours: Zero, R1, data", [101_000, 41_000, 5000], hardware]]
})
