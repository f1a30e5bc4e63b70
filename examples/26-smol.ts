/**
 * SmolLM3 in small: the recipe `smollm3` with tiny models and toy data: mid-training, SFT, the soup of APO's checkpoints, and its merge with
 * the mid-trained model. SmolTulu, Tülu's recipe at 1.7B, is `smol-tulu-1130`.
 *
 *     npx keel run examples/26-smol.ts        # the recipes alone: npx keel run smollm3 --shrink, npx keel run smol-tulu-1130 --shrink
 *
 * Ends with (seed 0, native backend; gold reward, KL from the first model, length, finished). The differences are within noise:
 *
 *     | mid    | 2.40 ± 0.10 | 1.75 ± 0.14               | 30.40  | 95 %     |
 *     | sft    | 2.45 ± 0.09 | 0.00 ± 0.00               | 31.06  | 94 %     |
 *     | soup   | 2.51 ± 0.09 | 0.02 ± 0.01               | 31.25  | 91 %     |
 *     | policy | 2.50 ± 0.09 | 0.05 ± 0.02               | 31.03  | 93 %     |
 */
import { Evaluate, Gold, Pipeline, Recipe, Shrink, SmolLm3 } from "../dsl/index.ts"
import { held } from "./01-instruct-gpt.ts"

const { mid, policy, sft, soup } = Shrink.outputs(Recipe.planned(SmolLm3.smolLm3))

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, prompts: held },
  { mid, sft, soup, policy },
  { gold: Gold.tales, maxNewTokens: 40 }
))
