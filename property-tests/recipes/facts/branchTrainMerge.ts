/** Branch-Train-Merge, arXiv 2208.03306. */
import { BranchTrainMerge, Recipe } from "../../../dsl/index.ts"
import { all, choice, facts, of } from "../fact.ts"

export default facts("Branch-Train-Merge", Recipe.planned(BranchTrainMerge.branchTrainMerge), {
  "1.11": [
    [
      "weights are the posterior of the domains",
      ["Posterior", "Posterior"],
      ({ average, merged }) => [average, merged].map((one) => of(one)["method"]._tag)
    ],
    [
      "an expert is trained on one domain",
      [1, 1, 1, 1],
      ({ code, legal, medical, news }) => [code, legal, medical, news].map((expert) => all(expert, "Source").length)
    ],
    [
      "steps, batch and rate are not reported",
      ["open", "open", "open"],
      () => ["steps", "batchSize", "learningRate"].map((name) => choice(BranchTrainMerge.branchTrainMerge, name))
    ]
  ]
})
