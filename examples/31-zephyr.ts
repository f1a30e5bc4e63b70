/**
 * Zephyr in small: the recipe `zephyr` with a tiny model and toy data, SFT and DPO side by side.
 *
 *     npx keel run examples/31-zephyr.ts        # the recipe alone: npx keel run zephyr --shrink
 *
 * Ends with (seed 0, native backend; gold reward, KL from the first model, length, finished). DPO orders its pairs better, .54 to .73,
 * and its answers are not better beyond noise:
 *
 *     | sft    | 2.88 ± 0.11 | 0.00 ± 0.00               | 30.95  | 81 %     |
 *     | policy | 2.90 ± 0.11 | 0.22 ± 0.05               | 31.43  | 79 %     |
 */
import { Evaluate, Gold, Pipeline, Recipe, Shrink, Zephyr } from "../dsl/index.ts"
import { held } from "./01-instruct-gpt.ts"

const { policy, sft } = Shrink.outputs(Recipe.planned(Zephyr.zephyr))

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, prompts: held },
  { sft, policy },
  { gold: Gold.tales, maxNewTokens: 40 }
))
