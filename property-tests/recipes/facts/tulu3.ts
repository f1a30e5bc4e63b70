/** Tülu 3, arXiv 2411.15124v5, and Tülu 3.1, open-instruct docs/tulu3.md. */
import { Recipe, Tulu3 } from "../../../dsl/index.ts"
import { all, choice, clip, ends, facts, hardware, of, on, result, rows } from "../fact.ts"

const verifierWeights = (policy: Parameters<typeof all>[0]) =>
  all(policy, "Reward").filter(({ rule }) => rule._tag === "Verify" && rule.verifier._tag !== "Ended").map(({ rule }) =>
    rule.verifier.weight
  )

const sft = (recipe: { readonly sft: Parameters<typeof all>[0] }) => all(recipe.sft, "Sft")[0]!

export default facts("Tülu 3 and 3.1", {
  small: Recipe.planned(Tulu3.tulu3Of8b),
  middle: Recipe.planned(Tulu3.tulu3Of70b),
  large: Recipe.planned(Tulu3.tulu3Of405b),
  next: Recipe.planned(Tulu3.tulu31)
}, {
  "1.5, SFT": [
    ["rows", 939_344, ({ small }) => rows(small.sft, "allenai/tulu-3-sft-mixture")],
    [
      "rate of 8B and 70B",
      [5e-6, 2e-6],
      ({ middle, small }) => [sft(small)["learningRate"], sft(middle)["learningRate"]]
    ],
    ["linear to", ["linear", 0], ({ small }) => [sft(small)["schedule"], ends(sft(small))]],
    [
      "share of warm-up, weight decay",
      [0.03, 0],
      ({ small }) => [sft(small)["warmupRatio"], sft(small)["weightDecay"]]
    ],
    [
      "epochs, batch, length",
      [2, 128, 4096],
      ({ middle }) => [sft(middle)["epochs"], sft(middle)["batchSize"], sft(middle)["maxLength"]]
    ],
    ["reduction", "sum", ({ small }) => sft(small)["reduction"]],
    ["GPUs and hours of 8B and 70B", [32, 6, 64, 50], hardware],
    ["seeds of 8B, of which the best is released", 5, ({ small }) => all(small.sft, "Sft").length],
    ["averages of seeds and of their soup", [59.8, 60.1, 60.2], result]
  ],
  "arXiv 2411.15124v5, Tables 15, 34 and 35": [
    ["on-policy pairs", 19_444, ({ small }) => rows(small.dpo, "prompts of the preference data")],
    [
      "pairs of 405B, of its data card",
      360_924,
      ({ large }) => rows(large.dpo, "off-policy pairs") + rows(large.dpo, "prompts of the preference data")
    ],
    ["405B: rate, batch, share of warm-up and epochs of SFT", [2e-6, 256, 0.03, 2], ({ large }) => {
      const { batchSize, epochs, learningRate, warmupRatio } = sft(large)
      return [learningRate, batchSize, warmupRatio, epochs]
    }],
    ["405B: the value model is of 8B", 32, ({ large }) => all(large.value, "Checkpoint")[0]!["shape"].layers],
    ["405B: passes and episodes of PPO", [1, 300_000], "the command's 4 stand; 75 steps were made"]
  ],
  "1.5, DPO": [
    [
      "pairs of 8B and 70B",
      [271_409, 334_302],
      ({ middle, small }) =>
        [small, middle].map(({ dpo }) => rows(dpo, "off-policy pairs") + rows(dpo, "prompts of the preference data"))
    ],
    [
      "β of length-normalised DPO",
      [5, "token"],
      ({ small }) => [of(small.dpo)["loss"].beta, of(small.dpo)["loss"].per]
    ],
    [
      "rates of 8B, 70B and 405B",
      [5e-7, 2e-7, 2e-7],
      ({ large, middle, small }) => [small, middle, large].map(({ dpo }) => of(dpo)["learningRate"])
    ],
    ["schedule, share of warm-up, weight decay, epochs", ["linear", 0.1, 0, 1], ({ small }) => {
      const { epochs, schedule, warmupRatio, weightDecay } = of(small.dpo)
      return [schedule, warmupRatio, weightDecay, epochs]
    }],
    [
      "batches of 8B, 70B and 405B",
      [128, 128, 256],
      ({ large, middle, small }) => [small, middle, large].map(({ dpo }) => of(dpo)["batchSize"])
    ],
    ["length", 2048, ({ small }) => of(small.dpo)["maxLength"]],
    ["GPUs and hours of 8B and 70B", [8, 10, 64, 19], hardware],
    [
      "answers of a prompt",
      4,
      ({ small }) => all(small.dpo, "Mix").find(({ take }) => take._tag === "PerPrompt")!["take"].perPrompt
    ],
    [
      "models of the pool",
      22,
      ({ small }) => rows(small.dpo, "answers of 22 models") / rows(small.dpo, "prompts of the preference data")
    ],
    ["judge", "gpt-4o-2024-08-06", ({ small }) => all(small.dpo, "Score")[0]!["scorer"].endpoint.model],
    ["aspects, from, to", [4, 1, 5], ({ small }) => {
      const { criteria, scale } = all(small.dpo, "Score")[0]!["scorer"].rubric
      return [criteria.length, scale.min, scale.max]
    }],
    ["rejected", "random-lower", ({ small }) => all(small.dpo, "Pair")[0]!["rejected"]]
  ],
  "1.5, reward model": [
    ["rate, batch, epochs, length", [3e-6, 256, 1, 2048], ({ large }) => {
      const { batchSize, epochs, learningRate, maxLength } = of(large.value)
      return [learningRate, batchSize, epochs, maxLength]
    }],
    ["GPUs and hours", [8, 9], hardware]
  ],
  "1.5, RLVR": [
    [
      "prompts of GSM8K, MATH and IF",
      [7473, 7500, 14_973],
      ({ small }) =>
        ["GSM8K, train", "MATH, train", "instructions with constraints of IFEval"].map((name) =>
          rows(small.policy, name)
        )
    ],
    [
      "prompts",
      29_946,
      ({ middle }) =>
        ["GSM8K, train", "MATH, train", "instructions with constraints of IFEval"].reduce(
          (sum, name) => sum + rows(middle.policy, name),
          0
        )
    ],
    ["reward if verified", [10, 10, 10], ({ small }) => verifierWeights(small.policy)],
    [
      "reward without an end",
      -10,
      ({ small }) => all(small.policy, "Reward").find(({ rule }) => rule._tag === "Clip")!["rule"].max
    ],
    [
      "multiplier of the reward model",
      0,
      ({ small }) => all(on(small.policy, "reward"), "RewardModeling").length
    ],
    ["γ, λ", [1, 0.95], ({ small }) => [of(small.policy)["advantage"].gamma, of(small.policy)["advantage"].lam]],
    ["clip", [0.2, 0.2], ({ small }) => clip(of(small.policy))],
    [
      "epochs, mini-batches",
      [4, 1],
      ({ small }) => [of(small.policy)["numPpoEpochs"], of(small.policy)["numMiniBatches"]]
    ],
    ["value coefficient, gradients, temperature", [0.1, 1, 1], ({ small }) => {
      const { maxGradNorm, temperature, vfCoef } = of(small.policy)
      return [vfCoef, maxGradNorm, temperature]
    }],
    [
      "length of 8B and 405B",
      [2048, 1024],
      ({ large, small }) => [of(small.policy)["maxNewTokens"], of(large.policy)["maxNewTokens"]]
    ],
    ["schedule", ["linear", 0], ({ small }) => [of(small.policy)["schedule"], ends(of(small.policy))]],
    [
      "rates of 8B, 70B and 405B",
      [3e-7, 1e-7, 1e-7],
      ({ large, middle, small }) => [small, middle, large].map(({ policy }) => of(policy)["learningRate"])
    ],
    [
      "β of 8B, 70B and 405B",
      [0.05, 0.07, 0.05],
      ({ large, middle, small }) => [small, middle, large].map(({ policy }) => of(policy)["beta"])
    ],
    ["β in the reward", "KlInReward", ({ small }) => of(small.policy)["loss"].kl._tag],
    ["sweep of β", [0.1, 0.05, 0.03, 0.01], "of an ablation; .05 is taken"],
    [
      "batches of 8B, 70B and 405B",
      [7 * 32, 40 * 16, 1856],
      ({ large, middle, small }) => [small, middle, large].map(({ policy }) => of(policy)["batchSize"])
    ],
    [
      "steps of 8B and 70B: 100,000 and 400,000 episodes, in whole steps",
      [Math.ceil(100_000 / 224), 400_000 / 640],
      ({ middle, small }) => [of(small.policy)["steps"], of(middle.policy)["steps"]]
    ],
    ["episodes of the command of 8B", 10_000_000, "a stopping budget: Table 21 stands"],
    ["share of warm-up of 70B", 0.1, ({ middle }) => of(middle.policy)["warmupRatio"]],
    ["steps of 405B", 75, ({ large }) => of(large.policy)["steps"]],
    [
      "405B has MATH alone",
      "parts.math",
      ({ large }) => Object.keys(on(large.policy, "prompts").node.wires)
    ],
    ["GPUs and hours of 8B, nodes of 405B", [8, 65, 32], hardware],
    [
      "steps between checkpoints, of which one is released",
      [100, 40],
      "not part of a recipe's weights: said in its head"
    ]
  ],
  "1.5, evaluation": [
    ["Table 18: SFT, DPO-norm, PPO, DPO, SimPO", [55.7, 57.3, 55.5, 55.2, 52.9], result],
    ["DPO-norm of 3 epochs; of β 2", [3, 53.4, 2, 46.8], result],
    ["KL of 70B RLVR is below, nats", 1, result],
    ["averages of the stages, Table 6", [60.6, 64.7, 65.1], result],
    ["GSM8K", [76.2, 84.3, 87.6], result],
    ["MATH", [31.5, 42, 43.7], result],
    ["IFEval, and unseen", [72.8, 81.1, 82.4, 24.3], result],
    ["AlpacaEval 2", [12.4, 33.5, 34.5], result],
    ["safety", [93.1, 87.2, 85.5], result],
    ["averages of Table 23", [64.4, 64.8], result]
  ],
  "1.5, Tülu 3.1": [
    [
      "rate, schedule",
      [5e-7, "constant"],
      ({ next }) => [of(next.policy)["learningRate"], of(next.policy)["schedule"]]
    ],
    ["β, estimator", [0.01, "k3"], ({ next }) => [of(next.policy)["beta"], of(next.policy)["loss"].kl.estimator]],
    ["answers, prompts, together", [16, 48, 768], ({ next }) => {
      const { batchSize, groupSize } = of(next.policy)
      return [groupSize, batchSize, groupSize * batchSize]
    }],
    ["mini-batches", 2, ({ next }) => of(next.policy)["numMiniBatches"]],
    [
      "penalty without an end: none",
      0,
      ({ next }) => all(next.policy, "Reward").filter(({ rule }) => rule._tag === "Clip").length
    ],
    ["temperature, length", [1, 2048], ({ next }) => [of(next.policy)["temperature"], of(next.policy)["maxNewTokens"]]],
    ["episodes, steps", [1_474_560, 1920], ({ next }) => {
      const { batchSize, groupSize, steps } = of(next.policy)
      return [steps * batchSize * groupSize, steps]
    }],
    [
      "from the same DPO checkpoint as 8B",
      "same",
      ({ next, small }) => next.dpo.id === small.dpo.id ? "same" : "other"
    ],
    [
      "the book's SFT rows, pairs and RLVR prompts",
      [1_000_000, 1_000_000, 10_000],
      "orders of magnitude (part 6, 2): the paper's stand"
    ]
  ],
  "6": [
    ["1: β of 70B, of caption and command", 0.07, ({ middle }) => of(middle.policy)["beta"]],
    ["1: β of 70B, of the prose", 0.7, "caption and command agree against it"],
    ["5: divisor and ε of the standard deviation, of open-instruct", [0, 1e-8], ({ next }) => [
      of(next.policy)["advantage"].ddof,
      of(next.policy)["advantage"].epsilon
    ]]
  ],
  "7": [
    ["PPO epochs of 405B: command", 4, ({ large }) => of(large.policy)["numPpoEpochs"]],
    ["PPO epochs of 405B: book", 1, "the command's stand"],
    ["the judge's place is open", "open", () => choice(Tulu3.tulu3Of8b, "judge")]
  ]
})
