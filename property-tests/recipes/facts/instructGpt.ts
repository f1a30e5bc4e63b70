/** InstructGPT, arXiv 2203.02155. */
import { InstructGpt, Recipe } from "../../../dsl/index.ts"
import { all, choice, clip, ends, facts, of, result, rows } from "../fact.ts"

const recipe = InstructGpt.instructGpt
const size = "of another size than 175B"

export default facts("InstructGPT", Recipe.planned(recipe), {
  "1.1, SFT": [
    ["prompts", 12_725, ({ sft }) => rows(sft, "labelers' and customers' prompts with answers")],
    ["of labelers and of customers", [11_295, 1430], "one data set"],
    ["epochs", 16, ({ sft }) => of(sft)["epochs"]],
    ["cosine to a share of the rate", ["cosine", 0.1], ({ sft }) => [of(sft)["schedule"], ends(of(sft))]],
    ["residual dropout", 0.2, "no engine has dropout: said in the head of the recipe"],
    ["rate, batch", [5.03e-6, 8], ({ sft }) => [of(sft)["learningRate"], of(sft)["batchSize"]]],
    ["rate and batch of 1.3B and 6B", [9.65e-6, 32], size],
    ["the checkpoint is chosen by the reward model", "proxy", ({ sft }) => of(sft)["keep"].by]
  ],
  "1.1, reward model": [
    ["prompts", 33_207, ({ reward }) => rows(reward, "labelers' rankings")],
    ["of labelers and of customers", [6623, 26_584], "one data set"],
    ["K, answers of a prompt, from and to", [4, 9], "rows have their own numbers: 6 is the assumed mean"],
    ["epochs", 1, ({ reward }) => of(reward)["epochs"]],
    ["rate", 9e-6, ({ reward }) => of(reward)["learningRate"]],
    ["cosine to a share of the rate", ["cosine", 0.1], ({ reward }) => [of(reward)["schedule"], ends(of(reward))]],
    ["prompts of a batch", 64, ({ reward }) => of(reward)["batchSize"]],
    ["comparisons of a batch at most: C(9, 2) of each", 2304, ({ reward }) => of(reward)["batchSize"] * (9 * 8) / 2],
    ["the mean over the pairs of a ranking", "KWise", ({ reward }) => of(reward)["loss"]._tag],
    ["score of a demonstration after the bias is set", 0, "not expressed: said in the head of the recipe"],
    ["accuracy on labelers that trained it, and on others, percent", [72.4, 0.4, 69.6, 0.9], result]
  ],
  "1.1, start of RL": [
    ["share of pretraining", 0.1, ({ init }) => of(init)["pretrainingShare"]],
    ["epochs, rate", [2, 2.45e-6], ({ init }) => [of(init)["epochs"], of(init)["learningRate"]]],
    ["rates of 1.3B and 6B", [5e-6, 1.04e-5], size]
  ],
  "1.1, PPO": [
    ["prompts", 31_144, ({ policy }) => rows(policy, "customers' prompts")],
    ["episodes", 256_000, ({ policy }) => of(policy)["steps"] * of(policy)["batchSize"]],
    ["batch, mini-batch", [512, 64], ({ policy }) => {
      const { batchSize, numMiniBatches } = of(policy)
      return [batchSize, batchSize / numMiniBatches]
    }],
    ["mini-batches, inner epochs", [8, 1], ({ policy }) => [of(policy)["numMiniBatches"], of(policy)["numPpoEpochs"]]],
    ["clip", [0.2, 0.2], ({ policy }) => clip(of(policy))],
    ["temperature", 1, ({ policy }) => of(policy)["temperature"]],
    ["β, in the reward", [0.02, "KlInReward"], ({ policy }) => [of(policy)["beta"], of(policy)["loss"].kl._tag]],
    ["γ of the pretraining text, and its examples to an episode", [27.8, 8], ({ policy }) => [
      of(policy)["ptxCoef"],
      of(policy)["ptxRatio"]
    ]],
    ["decay of the moving average", 0.992, ({ policy }) => of(policy)["keep"].decay],
    ["discount: none", 1, ({ policy }) => of(policy)["advantage"].gamma],
    ["rate of the value model", 5e-6, ({ policy }) => of(policy)["valueLearningRate"]],
    ["rate of the value model, 1.3B and 6B", 9e-6, size],
    ["iterations of warm-up", 10, ({ policy }) => of(policy)["warmupSteps"]],
    ["rate of the policy is not reported", "open", () => choice(recipe, "learningRate")],
    ["sweep of the rate", [2.55e-6, 2.55e-5], "the hint of the open choice"],
    ["diverged above this rate without ptx", 8.05e-6, ({ policy }) => of(policy)["learningRate"]],
    ["best KL coefficient, from and to", [0.01, 0.02], "a range: the recipe has its upper end"],
    ["poor KL coefficients", [0, 2], "of an ablation"]
  ],
  "1.1, compute and evaluation": [
    [
      "petaflop/s-days of SFT, PPO-ptx and pretraining",
      [4.9, 60, 3640],
      "planned beside it: golden/planned-compute.txt"
    ],
    ["percent of preferences over GPT-3, few-shot GPT-3", [85, 3, 71, 4], result],
    ["parameters, in billions, of the model preferred over GPT-3", 1.3, result],
    [
      "the book's SFT, reward and RL sizes",
      [10_000, 100_000, 100_000],
      "orders of magnitude (part 6, 2): the paper's stand"
    ]
  ],
  "6": [
    ["3: circulating rate of the policy, without a source", 1.41e-5, "open, and this is not its stand-in"],
    [
      "4: the reference is the start of RL, not the SFT baseline",
      "init",
      ({ init, policy }) =>
        all(policy, "Sft").length === 1 && all(policy, "Sft")[0]!["epochs"] === of(init)["epochs"] ? "init" : "sft"
    ]
  ]
})
