/**
 * WARP in small: the recipe `warp` with a tiny model and toy data, the model that it starts from and the policy after five iterations.
 *
 *     npx keel run examples/34-warp.ts        # the recipe alone: npx keel run warp --shrink
 *
 * Ends with (seed 0, native backend; gold reward, proxy reward, KL from the first model, length, finished):
 *
 *     | sft    | 2.19 ± 0.11 | -0.08 ± 0.01 | 0.00 ± 0.00               | 18.50  | 100 %    |
 *     | policy | 3.10 ± 0.11 | 0.10 ± 0.01  | 2.56 ± 0.15               | 24.45  | 100 %    |
 *
 *     Gold, policy − sft: +0.91 ± 0.10 on the same 256 prompts (8.7 standard errors).
 */
import { Evaluate, Gold, Pipeline, Recipe, Shrink, Warp } from "../dsl/index.ts"
import { held } from "./01-instruct-gpt.ts"

const { policy, reward, sft } = Shrink.outputs({ sft: Warp.warp.published().sft, ...Recipe.planned(Warp.warp) })

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, reward, prompts: held },
  { sft, policy },
  { gold: Gold.tales, maxNewTokens: 40 }
))
