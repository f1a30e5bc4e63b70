/**
 * SmolLM3 in small: the recipe `smollm3` with tiny models and toy data: mid-training, SFT, the soup of APO's checkpoints, and its merge with
 * the mid-trained model. SmolTulu, Tülu's recipe at 1.7B, is `smol-tulu-1130`.
 *
 *     npx keel run examples/26-smol.ts        # the recipes alone: npx keel run smollm3 --shrink, npx keel run smol-tulu-1130 --shrink
 *
 * Ends with (seed 0, native backend; gold reward, KL from the first model, length, finished). From SFT to the merge the differences
 * are within noise; the mid-trained model writes better stories here than those after it:
 *
 *     | mid    | 3.00 ± 0.10 | 1.70 ± 0.14               | 30.44  | 94 %     |
 *     | sft    | 2.52 ± 0.09 | 0.00 ± 0.00               | 30.87  | 93 %     |
 *     | soup   | 2.56 ± 0.08 | 0.10 ± 0.03               | 31.78  | 92 %     |
 *     | policy | 2.67 ± 0.09 | 0.13 ± 0.03               | 31.54  | 90 %     |
 */
import { Evaluate, Gold, Pipeline, Recipe, Shrink, SmolLm3 } from "../dsl/index.ts"
import { held } from "./01-instruct-gpt.ts"

const { mid, policy, sft, soup } = Shrink.outputs(Recipe.planned(SmolLm3.smolLm3))

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, prompts: held },
  { mid, sft, soup, policy },
  { gold: Gold.tales, maxNewTokens: 40 }
))
