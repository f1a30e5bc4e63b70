/** Llama 3.1, arXiv 2407.21783. */
import { Artifact, Llama31, Recipe } from "../../../dsl/index.ts"
import { all, choice, facts } from "../fact.ts"

const recipe = Llama31.llama31
const last = (artifact: Artifact.Any, op: string) => all(artifact, op).at(-1)!

export default facts("Llama 3.1", Recipe.planned(recipe), {
  "1.4": [
    ["rounds", 6, ({ policy }) => all(policy, "Judge").length],
    ["answers of a comparison", 2, ({ policy }) => {
      const mixed = Artifact.lineage(policy).filter(({ node }) => node.op === "Judge").at(-1)!.node
        .wires["completions"]!
      return all(mixed, "Sample").filter(({ completionsPerPrompt }) => completionsPerPrompt === 1).slice(-2).length
    }],
    ["strengths of preference", 4, "rows have their margins, of which the open minMargin is one"],
    ["weights of the averages are not reported", "open", () => choice(recipe, "variants")],
    [
      "margin term of the reward loss: none",
      "BradleyTerry",
      ({ reward }) => last(reward, "RewardModeling")["loss"]._tag
    ],
    [
      "answers of rejection sampling, from and to",
      [10, 30],
      "the hint of the open choice"
    ],
    ["speed-up by PagedAttention", 2, "an implementation, not a setting"],
    ["rate of SFT", 1e-5, ({ sft }) => last(sft, "Sft")["learningRate"]],
    ["steps of SFT at most", 9000, ({ sft }) => last(sft, "Sft")["steps"]],
    ["steps of SFT at least", 8500, "a range: its upper end stands"],
    ["loss on prompts", 0, ({ sft }) => last(sft, "Sft")["loss"] === "completion" ? 0 : 1],
    [
      "shares: English, code, multilingual, exam, reasoning, long context",
      [52.66, 14.89, 3.01, 8.14, 21.19, 0.11],
      ({ sft }) => {
        const { code, exam, generalEnglish, longContext, multilingual, reasoningAndTools } =
          all(sft, "Mix").find(({ take }) => take._tag === "Weights")!["take"].weights
        return [generalEnglish, code, multilingual, exam, reasoningAndTools, longContext]
      }
    ],
    [
      "DPO: rate, β",
      [1e-5, 0.1],
      ({ policy }) => [last(policy, "Dpo")["learningRate"], last(policy, "Dpo")["loss"].beta]
    ],
    ["weight of the likelihood of chosen answers", 0.2, ({ policy }) => last(policy, "Dpo")["loss"].nll],
    ["masked", "template", ({ policy }) => last(policy, "Dpo")["mask"]],
    [
      "shares of pairs",
      [81.99, 6.93, 5.19, 5.89],
      "Table 6, of the whole data: comparisons are not split by domain here"
    ],
    [
      "epochs and batch of DPO are not reported",
      ["open", "open"],
      () => [choice(recipe, "dpo.epochs"), choice(recipe, "dpo.batchSize")]
    ]
  ]
})
