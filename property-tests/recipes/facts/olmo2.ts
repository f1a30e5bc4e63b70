/** OLMo 2, arXiv 2501.00656 and open-instruct docs/olmo2.md. */
import { Olmo2, Recipe } from "../../../dsl/index.ts"
import { all, choice, facts, hardware, of, result, rows } from "../fact.ts"

const recipes = { b1: Olmo2.olmo2Of1b, b7: Olmo2.olmo2Of7b, b13: Olmo2.olmo2Of13b, b32: Olmo2.olmo2Of32b }
const two = "the command's stands, where paper and command differ"

export default facts("OLMo 2", {
  b1: Recipe.planned(recipes.b1),
  b7: Recipe.planned(recipes.b7),
  b13: Recipe.planned(recipes.b13),
  b32: Recipe.planned(recipes.b32)
}, {
  "1.6, SFT": [
    [
      "rows of 7B, 13B, 1B and 32B",
      [939_104, 939_104, 866_138, 866_138],
      ({ b1, b13, b32, b7 }) => [b7, b13, b1, b32].map(({ sft }) => rows(sft, "Tülu 3 mixture for OLMo 2"))
    ],
    [
      "rates of 1B, 7B, 13B and 32B",
      [3e-5, 1e-5, 6e-6, 4e-6],
      ({ b1, b13, b32, b7 }) => [b1, b7, b13, b32].map(({ sft }) => of(sft)["learningRate"])
    ],
    ["rates of 7B and 13B in the paper", [2e-5, 5e-6], two],
    [
      "epochs, length, batch",
      [2, 4096, 128],
      ({ b13 }) => [of(b13.sft)["epochs"], of(b13.sft)["maxLength"], of(b13.sft)["batchSize"]]
    ]
  ],
  "1.6, DPO": [
    ["β, per", [5, "token"], ({ b7 }) => [of(b7.dpo)["loss"].beta, of(b7.dpo)["loss"].per]],
    [
      "epochs, batch, length",
      [1, 128, 2048],
      ({ b1 }) => [of(b1.dpo)["epochs"], of(b1.dpo)["batchSize"], of(b1.dpo)["maxLength"]]
    ],
    [
      "rates of 1B, 7B and 13B",
      [2.5e-6, 5e-7, 8e-7],
      ({ b1, b13, b7 }) => [b1, b7, b13].map(({ dpo }) => of(dpo)["learningRate"])
    ],
    ["sweep of 7B up to", 1e-6, two]
  ],
  "1.6, RLVR": [
    ["PPO passes of 7B and 13B", [1, 3], ({ b13, b7 }) => [b7, b13].map(({ policy }) => all(policy, "Ppo").length)],
    ["GRPO passes of 1B and 32B", [2, 1], ({ b1, b32 }) => [b1, b32].map(({ policy }) => all(policy, "Grpo").length)],
    ["1B: β, estimator", [0.01, "k3"], ({ b1 }) => [of(b1.policy)["beta"], of(b1.policy)["loss"].kl.estimator]],
    ["1B: rate, schedule", [5e-7, "constant"], ({ b1 }) => [of(b1.policy)["learningRate"], of(b1.policy)["schedule"]]],
    ["1B: answers, prompts", [16, 48], ({ b1 }) => [of(b1.policy)["groupSize"], of(b1.policy)["batchSize"]]],
    ["1B: mini-batches", 2, "1 in the stored command (part 7), which the recipe has"],
    [
      "1B: steps of a pass: 2,000,000 episodes of 16 · 48, whole",
      Math.floor(2_000_000 / (16 * 48)),
      ({ b1 }) => of(b1.policy)["steps"]
    ],
    ["1B: hours and nodes of SFT, DPO and RLVR", [9, 1, 2, 43, 2, 2], hardware],
    ["32B: averages, GSM8K, safety", [61.7, 68.8, 68.8, 78.4, 85.7, 87.6, 93.8, 91.9, 85.9], result]
  ],
  "arXiv 2501.00656, §5 and Table 18": [
    [
      "pairs of 7B and 13B",
      [366_700, 377_700],
      ({ b13, b7 }) => [b7, b13].map(({ dpo }) => rows(dpo, "preference mixture"))
    ],
    ["reward model: rate", 3e-6, ({ b13 }) => of(b13.value)["learningRate"]],
    [
      "PPO: rates of 7B and 13B",
      [4e-7, 3e-7],
      ({ b13, b7 }) => [b7, b13].map(({ policy }) => of(policy)["learningRate"])
    ],
    ["PPO: batches", [224, 248], ({ b13, b7 }) => [b7, b13].map(({ policy }) => of(policy)["batchSize"])],
    [
      "PPO: β of 7B, and of the passes of 13B",
      [0.05, 0.1, 0.03, 0.1],
      ({ b13, b7 }) => [b7, b13].flatMap(({ policy }) => all(policy, "Ppo").map(({ beta }) => beta))
    ],
    ["PPO: β of 7B in the text", 0.07, "the table stands"],
    [
      "PPO: steps, of 100,000 and 200,000 episodes",
      [Math.ceil(100_000 / 224), Math.ceil(200_000 / 248)],
      ({ b13, b7 }) => [b7, b13].map(({ policy }) => of(policy)["steps"])
    ],
    ["PPO: epochs, mini-batches, value coefficient", [4, 1, 0.1], ({ b13 }) => {
      const { numMiniBatches, numPpoEpochs, vfCoef } = of(b13.policy)
      return [numPpoEpochs, numMiniBatches, vfCoef]
    }],
    ["32B: rate of DPO", 2e-6, ({ b32 }) => of(b32.dpo)["learningRate"]],
    ["32B: rate, β and answers of GRPO", [5e-7, 0.1, 16], ({ b32 }) => {
      const { beta, groupSize, learningRate } = of(b32.policy)
      return [learningRate, beta, groupSize]
    }],
    [
      "32B: steps and prompts of GRPO are not reported",
      ["open", "open"],
      () => ["rl.steps", "rl.batchSize"].map((name) => choice(recipes.b32, name))
    ]
  ],
  "7": [["1B: mini-batches of the stored command", 1, ({ b1 }) => of(b1.policy)["numMiniBatches"]]],
  "1.6, Olmo 3": [
    [
      "rates, pairs, β, groups, clip",
      [8e-8, 1e-6, 150_000, 260_000, 5, 0, 64, 8, 0.2, 0.272],
      "another system than the recipes'"
    ]
  ]
})
