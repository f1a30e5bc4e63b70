/** Command A, arXiv 2504.00698. */
import { CommandA, Recipe } from "../../../dsl/index.ts"
import { all, facts, of, result, rows } from "../fact.ts"

export default facts("Command A", Recipe.planned(CommandA.commandA), {
  "1.11": [
    ["SFT experts", 6, ({ sftSoup }) => all(sftSoup, "Sft").length - 1],
    ["RL experts", 6, ({ rlSoup }) => all(rlSoup, "Grpo").length + all(rlSoup, "Dpo").length],
    [
      "experts of offline CoPG, at least",
      1,
      ({ rlSoup }) => all(rlSoup, "Dpo").filter(({ loss }) => loss.terms[0].form._tag === "Contrastive").length
    ],
    ["best of N", 4, ({ policy }) => all(policy, "Sample").at(-1)!["completionsPerPrompt"]],
    [
      "merges are linear",
      ["Linear", "Linear"],
      ({ rlSoup, sftSoup }) => [sftSoup, rlSoup].map((soup) => of(soup)["method"]._tag)
    ],
    [
      "their weights are not reported",
      "equal",
      ({ sftSoup }) => of(sftSoup)["method"].weights === undefined ? "equal" : "held"
    ],
    ["percent of the experts' performance that the merge keeps", 98.2, result],
    ["RewardBench", 92.7, result]
  ],
  "6": [[
    "3: the weights are not reported",
    "equal",
    ({ rlSoup }) => of(rlSoup)["method"].weights === undefined ? "equal" : "held"
  ]],
  "7": [
    ["stages of the reward model", 2, ({ reward }) => all(reward, "RewardModeling").length],
    ["pairs of the stages, about", [4_000_000, 350_000], ({ reward }) => [
      rows(reward, "relabelled comparisons"),
      rows(reward, "comparisons of high quality")
    ]]
  ]
})
