/**
 * Llama 2 Chat in small: the recipe `llama-2-chat` with tiny models and toy data, and the versions of its 70B and 7B held side by side.
 *
 *     npx keel run examples/21-llama-2-chat.ts        # the recipe alone: npx keel run llama-2-chat --shrink
 *
 * Ends with (seed 0, native backend; gold reward, proxy reward, KL from the first model, length, finished):
 *
 *     | sft    | 1.70 ± 0.14 | 0.21 ± 0.01  | 0.00 ± 0.00               | 25.86  | 96 %     |
 *     | v1     | 2.20 ± 0.14 | 0.20 ± 0.01  | 2.23 ± 0.22               | 27.90  | 92 %     |
 *     | v2     | 1.57 ± 0.14 | 0.19 ± 0.01  | 5.52 ± 0.46               | 28.88  | 86 %     |
 *     | v3     | 1.84 ± 0.13 | 0.19 ± 0.01  | 5.12 ± 0.39               | 28.34  | 85 %     |
 *     | v4     | 2.33 ± 0.13 | 0.20 ± 0.01  | 4.31 ± 0.40               | 29.34  | 88 %     |
 *     | policy | 2.49 ± 0.12 | 0.23 ± 0.00  | 5.00 ± 0.29               | 28.57  | 95 %     |
 *     | small  | 2.15 ± 0.11 | 0.24 ± 0.00  | 21.43 ± 1.05              | 27.29  | 95 %     |
 */
import { Evaluate, Gold, Llama2Chat, Pipeline, Recipe, Shrink } from "../dsl/index.ts"
import { held } from "./01-instruct-gpt.ts"

const { policy, reward, sft, small, v1, v2, v3, v4 } = Shrink.outputs(Recipe.planned(Llama2Chat.llama2Chat))

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, reward, prompts: held },
  { sft, v1, v2, v3, v4, policy, small },
  { gold: Gold.tales, maxNewTokens: 40 }
))
