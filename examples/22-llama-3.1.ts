/**
 * Llama 3.1 in small: the recipe `llama-3.1` with tiny models and toy data, and the SFT and DPO of its last round held side by side.
 *
 *     npx keel run examples/22-llama-3.1.ts        # the recipe alone: npx keel run llama-3.1 --shrink
 *
 * Ends with (seed 0, native backend; gold reward, proxy reward, KL from the first model, length, finished):
 *
 *     | sft    | 2.88 ± 0.11 | 0.64 ± 0.03  | 0.00 ± 0.00               | 32.78  | 65 %     |
 *     | policy | 3.25 ± 0.11 | 0.85 ± 0.03  | 0.56 ± 0.06               | 30.61  | 83 %     |
 */
import { Evaluate, Gold, Llama31, Pipeline, Recipe, Shrink } from "../dsl/index.ts"
import { held } from "./01-instruct-gpt.ts"

const { policy, reward, sft } = Shrink.outputs(Recipe.planned(Llama31.llama31))

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, reward, prompts: held },
  { sft, policy },
  { gold: Gold.tales, maxNewTokens: 40 }
))
