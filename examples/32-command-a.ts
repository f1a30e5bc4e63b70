/**
 * Command A in small: the recipe `command-a` with tiny models and toy data. The instruct model, the soup of the six SFT experts, the soup of the
 * six RL experts and the policy after polishing, side by side.
 *
 *     npx keel run examples/32-command-a.ts        # the recipe alone: npx keel run command-a --shrink
 *
 * Ends with (seed 0, native backend; gold reward, proxy reward, KL from the first model, length, finished). The proxy rises from merge to
 * merge; the gold reward falls, as the policy learns what its reward model likes:
 *
 *     | instruct | 2.98 ± 0.10 | 3.20 ± 0.08  | 0.00 ± 0.00               | 31.84  | 85 %     |
 *     | sftSoup  | 2.75 ± 0.08 | 3.22 ± 0.07  | 2.27 ± 0.17               | 30.74  | 93 %     |
 *     | rlSoup   | 2.77 ± 0.08 | 3.56 ± 0.06  | 3.11 ± 0.22               | 32.37  | 91 %     |
 *     | policy   | 2.29 ± 0.09 | 4.41 ± 0.03  | 15.08 ± 0.50              | 32.92  | 98 %     |
 */
import { CommandA, Evaluate, Gold, Pipeline, Recipe, Shrink } from "../dsl/index.ts"
import { held } from "./01-instruct-gpt.ts"

const { instruct, policy, reward, rlSoup, sftSoup } = Shrink.outputs(Recipe.planned(CommandA.commandA))

export default Pipeline.runnable(Evaluate.make(
  { initial: instruct, reward, prompts: held },
  { instruct, sftSoup, rlSoup, policy },
  { gold: Gold.tales, maxNewTokens: 40 }
))
