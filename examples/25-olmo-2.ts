/**
 * OLMo 2 1B in small: the recipe `olmo-2-1b` with tiny models and toy data; its two passes of RLVR end in `policy`. On held-out puzzles.
 *
 *     npx keel run examples/25-olmo-2.ts        # the recipe alone: npx keel run olmo-2-1b --shrink
 *
 * Ends with (seed 0, native backend; the share of held-out puzzles solved, with 95 %):
 *
 *     | sft    | LetterCount | 24.6 % [19.7, 30.2]   |
 *     | dpo    | LetterCount | 23.8 % [19.0, 29.4]   |
 *     | policy | LetterCount | 33.6 % [28.1, 39.6]   |
 *
 *     LetterCount, policy − sft: +9.0 points [+2.0, +16.0] on the same 256 prompts
 */
import { Evaluate, Olmo2, Pipeline, Recipe, Shrink, Source, Verifier } from "../dsl/index.ts"

const held = Source.prompts(Source.puzzles({ task: "letters", split: "held", count: 256 }))
const { dpo, policy, sft } = Shrink.outputs(Recipe.planned(Olmo2.olmo2Of1b))

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, prompts: held },
  { sft, dpo, policy },
  { verifiers: [Verifier.letterCount(), Verifier.ended()], maxNewTokens: 40 }
))
