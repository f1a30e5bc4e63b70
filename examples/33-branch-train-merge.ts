/**
 * Branch-Train-Merge in small: the recipe `branch-train-merge` with tiny models and toy data. The seed, an expert, the average from which the
 * next domain branches, and the last merge, side by side. All domains are toy stories here, of different rows.
 *
 *     npx keel run examples/33-branch-train-merge.ts        # the recipe alone: npx keel run branch-train-merge --shrink
 *
 * Ends with (seed 0, native backend; gold reward, KL from the first model, length, finished). An average lies above its expert
 * and not above the seed, which has seen five times the rows:
 *
 *     | seed    | 2.19 ± 0.11 | 0.00 ± 0.00               | 18.50  | 100 %    |
 *     | news    | 1.77 ± 0.14 | 5.38 ± 0.40               | 17.29  | 100 %    |
 *     | average | 2.17 ± 0.13 | 2.82 ± 0.22               | 18.75  | 100 %    |
 *     | merged  | 1.90 ± 0.14 | 3.01 ± 0.24               | 18.46  | 100 %    |
 */
import { BranchTrainMerge, Evaluate, Gold, Pipeline, Recipe, Shrink } from "../dsl/index.ts"
import { held } from "./01-instruct-gpt.ts"

const { branchTrainMerge } = BranchTrainMerge
const { average, merged, news, seed } = Shrink.outputs({
  seed: branchTrainMerge.published().seed,
  ...Recipe.planned(branchTrainMerge)
})

export default Pipeline.runnable(Evaluate.make(
  { initial: seed, prompts: held },
  { seed, news, average, merged },
  { gold: Gold.tales, maxNewTokens: 40 }
))
