/**
 * Bai et al. in small: the recipe `hh-rlhf` with tiny models and toy data. The distilled model, the policy before the first week and the policy
 * after the last week, held side by side.
 *
 *     npx keel run examples/23-hh-rlhf.ts        # the recipe alone: npx keel run hh-rlhf --shrink
 *
 * Ends with (seed 0, native backend; gold reward, proxy reward, KL from the first model, length, finished):
 *
 *     | distilled | 1.24 ± 0.13 | -0.51 ± 0.03 | 0.00 ± 0.00               | 16.70  | 100 %    |
 *     | offline   | 1.72 ± 0.11 | -0.27 ± 0.03 | 3.87 ± 0.30               | 21.14  | 100 %    |
 *     | policy    | 1.99 ± 0.13 | -0.20 ± 0.03 | 3.72 ± 0.25               | 20.95  | 100 %    |
 */
import { Evaluate, Gold, HhRlhf, Pipeline, Recipe, Shrink } from "../dsl/index.ts"
import { held } from "./01-instruct-gpt.ts"

const { distilled, offline, policy, preferenceModel } = Shrink.outputs(Recipe.planned(HhRlhf.hhRlhf))

export default Pipeline.runnable(Evaluate.make(
  { initial: distilled, reward: preferenceModel, prompts: held },
  { distilled, offline, policy },
  { gold: Gold.tales, maxNewTokens: 40 }
))
