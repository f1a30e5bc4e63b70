/** Llama 2 Chat, arXiv 2307.09288. */
import { type Artifact, Llama2Chat, Recipe } from "../../../dsl/index.ts"
import { all, choice, clip, ends, facts, hardware, of, on, result, rows } from "../fact.ts"

const recipe = Llama2Chat.llama2Chat
const pairs = [1, 2, 3, 4, 5].flatMap((v) => ["helpful", "safety"].map((topic) => `comparisons before V${v}, ${topic}`))

const selecting = (of: Artifact.Any) =>
  all(of, "Sample").filter(({ completionsPerPrompt }) => completionsPerPrompt !== 2).map(({ temperature }) =>
    temperature
  )

export default facts("Llama 2 Chat", Recipe.planned(recipe), {
  "1.3, SFT": [
    ["annotations", 27_540, ({ sft }) => rows(sft, "annotated dialogues")],
    ["rate, schedule", [2e-5, "cosine"], ({ sft }) => [of(sft)["learningRate"], of(sft)["schedule"]]],
    ["weight decay", 0.1, ({ sft }) => of(sft)["weightDecay"]],
    [
      "batch, length, epochs",
      [64, 4096, 2],
      ({ sft }) => [of(sft)["batchSize"], of(sft)["maxLength"], of(sft)["epochs"]]
    ],
    ["loss on prompts", 0, ({ sft }) => of(sft)["loss"] === "completion" ? 0 : 1]
  ],
  "1.3, reward models": [
    ["reward models", 2, ({ helpfulness, safety }) => new Set([helpfulness.id, safety.id]).size],
    ["comparisons", 1_418_091, ({ policy }) => pairs.reduce((sum, name) => sum + rows(policy, name), 0)],
    ["weekly batches", 14, () => Llama2Chat.weekly.length],
    [
      "comparisons with open data",
      2_919_326,
      ({ policy }) =>
        [...pairs, "open comparisons, helpfulness", "open comparisons, Anthropic Harmless"].reduce(
          (sum, name) => sum + rows(policy, name),
          0
        )
    ],
    ["epochs, batch", [1, 512], ({ helpfulness }) => [of(helpfulness)["epochs"], of(helpfulness)["batchSize"]]],
    ["rate", 5e-6, ({ safety }) => of(safety)["learningRate"]],
    ["rate of smaller ones", 1e-5, "the recipe has reward models of 70B only"],
    ["cosine to a share of the rate", 0.1, ({ helpfulness }) => ends(of(helpfulness))],
    ["share of warm-up", 0.03, ({ helpfulness }) => {
      const { batchSize, epochs, warmupSteps } = of(helpfulness)
      const { count } = of(on(helpfulness, "preferences"))["take"]
      return Math.floor(1000 * warmupSteps / (epochs * count / batchSize)) / 1000
    }],
    [
      "steps of warm-up at least",
      5,
      ({ policy }) => Math.min(...all(policy, "RewardModeling").map(({ warmupSteps }) => warmupSteps))
    ],
    ["margins, small and large", [1, 2 / 3, 1 / 3, 0, 3, 2, 1, 0], "rows have their margins, which the loss subtracts"]
  ],
  "1.3, versions": [
    [
      "versions by rejection sampling alone",
      4,
      ({ policy }) => all(policy, "Ppo").length === 1 ? all(policy, "Sft").length - 1 : 0
    ],
    ["V5 is PPO", 1, ({ policy }) => all(policy, "Ppo").length],
    [
      "selections that V3 and V4 learn from",
      [1, 4],
      ({ v3, v4 }) => [v3, v4].map((of) => Object.keys(of.node.wires["demonstrations"]!.node.wires).length - 1)
    ],
    ["K is not reported", "open", () => choice(recipe, "completionsPerPrompt")],
    ["best temperature, from", 1.2, ({ v4 }) => Math.min(...selecting(v4))],
    ["best temperature, to", 1.3, "a range: its lower end stands"],
    ["samples for which it is best", [10, 100], "a range: K is open"],
    ["ghost attention after version", 3, "left out: said in the head of the recipe"]
  ],
  "1.3, PPO": [
    [
      "bound of safety",
      0.15,
      ({ reward }) => all(reward, "Reward").find(({ rule }) => rule._tag === "Gate")!["rule"].when.of[1].bound
    ],
    [
      "β₁, β₂, ε",
      [0.9, 0.95, 1e-5],
      ({ policy }) => [of(policy)["adamBeta1"], of(policy)["adamBeta2"], of(policy)["adamEpsilon"]]
    ],
    ["weight decay, gradients", [0.1, 1], ({ policy }) => [of(policy)["weightDecay"], of(policy)["maxGradNorm"]]],
    ["rate, schedule", [1e-6, "constant"], ({ policy }) => [of(policy)["learningRate"], of(policy)["schedule"]]],
    ["batch, mini-batch", [512, 64], ({ policy }) => {
      const { batchSize, numMiniBatches } = of(policy)
      return [batchSize, batchSize / numMiniBatches]
    }],
    ["gradient steps of a mini-batch", 1, ({ policy }) => of(policy)["numPpoEpochs"]],
    ["clip", [0.2, 0.2], ({ policy }) => clip(of(policy))],
    ["β of 7B and of 70B", [0.01, 0.005], ({ policy, small }) => [of(small)["beta"], of(policy)["beta"]]],
    ["iterations at most", 400, ({ policy }) => of(policy)["steps"]],
    ["iterations at least", 200, "early stopping ends them: Keep.best"],
    ["stops early", "Best", ({ policy }) => of(policy)["keep"]._tag],
    ["seconds of an iteration of 70B", 330, hardware],
    ["human prompts of the evaluation", 4000, ({ policy }) => rows(policy, "held-out prompts")],
    ["percent of wins and of ties against ChatGPT", [36, 31.5], result]
  ],
  "6": [["3: K is not reported", "open", () => choice(recipe, "completionsPerPrompt")]]
})
