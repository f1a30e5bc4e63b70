/**
 * Bai et al. in small: the recipe `hh-rlhf` with tiny models and toy data. The distilled model, the policy before the first week and the policy
 * after the last week, held side by side.
 *
 *     npx keel run examples/23-hh-rlhf.ts        # the recipe alone: npx keel run hh-rlhf --shrink
 */
import { Evaluate, Gold, HhRlhf, Pipeline, Recipe, Shrink } from "../dsl/index.ts"
import { held } from "./01-instruct-gpt.ts"

const { distilled, offline, policy, preferenceModel } = Shrink.outputs(Recipe.planned(HhRlhf.hhRlhf))

export default Pipeline.runnable(Evaluate.make(
  { initial: distilled, reward: preferenceModel, prompts: held },
  { distilled, offline, policy },
  { gold: Gold.tales, maxNewTokens: 40 }
))
