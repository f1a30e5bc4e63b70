/**
 * Llama 3.1 in small: the recipe `llama-3.1` with tiny models and toy data, and the SFT and DPO of its last round held side by side.
 *
 *     npx keel run examples/22-llama-3.1.ts        # the recipe alone: npx keel run llama-3.1 --shrink
 */
import { Evaluate, Gold, Llama31, Pipeline, Recipe, Shrink } from "../dsl/index.ts"
import { held } from "./01-instruct-gpt.ts"

const { policy, reward, sft } = Shrink.outputs(Recipe.planned(Llama31.llama31))

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, reward, prompts: held },
  { sft, policy },
  { gold: Gold.tales, maxNewTokens: 40 }
))
