/**
 * Command A in small: the recipe `command-a` with tiny models and toy data. The instruct model, the soup of the six SFT experts, the soup of the
 * six RL experts and the policy after polishing, side by side.
 *
 *     npx keel run examples/32-command-a.ts        # the recipe alone: npx keel run command-a --shrink
 *
 * Ends with (seed 0, native backend; gold reward, proxy reward, KL from the first model, length, finished). The proxy rises from merge to
 * merge; the gold reward falls a little, as the policy learns what its reward model likes:
 *
 *     | instruct | 2.98 ± 0.10 | 1.60 ± 0.03  | 0.00 ± 0.00               | 31.84  | 85 %     |
 *     | sftSoup  | 2.75 ± 0.08 | 1.65 ± 0.02  | 2.27 ± 0.17               | 30.74  | 93 %     |
 *     | rlSoup   | 2.65 ± 0.09 | 1.70 ± 0.01  | 2.34 ± 0.17               | 30.25  | 96 %     |
 *     | policy   | 2.71 ± 0.07 | 1.88 ± 0.01  | 8.32 ± 0.38               | 25.50  | 100 %    |
 */
import { CommandA, Evaluate, Gold, Pipeline, Recipe, Shrink } from "../dsl/index.ts"
import { held } from "./01-instruct-gpt.ts"

const { instruct, policy, reward, rlSoup, sftSoup } = Shrink.outputs(Recipe.planned(CommandA.commandA))

export default Pipeline.runnable(Evaluate.make(
  { initial: instruct, reward, prompts: held },
  { instruct, sftSoup, rlSoup, policy },
  { gold: Gold.tales, maxNewTokens: 40 }
))
