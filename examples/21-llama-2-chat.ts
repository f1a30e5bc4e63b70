/**
 * Llama 2 Chat in small: the recipe `llama-2-chat` with tiny models and toy data, and the versions of its 70B and 7B held side by side.
 *
 *     npx keel run examples/21-llama-2-chat.ts        # the recipe alone: npx keel run llama-2-chat --shrink
 */
import { Evaluate, Gold, Llama2Chat, Pipeline, Recipe, Shrink } from "../dsl/index.ts"
import { held } from "./01-instruct-gpt.ts"

const { policy, reward, sft, small, v1, v2, v3, v4 } = Shrink.outputs(Recipe.planned(Llama2Chat.llama2Chat))

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, reward, prompts: held },
  { sft, v1, v2, v3, v4, policy, small },
  { gold: Gold.tales, maxNewTokens: 40 }
))
